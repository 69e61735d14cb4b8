package carillon

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestIDPlace(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		store, slot int
		unique      Unique
		text        string
	}{
		{0, 0, Unique{}, "04000000000000000000"},
		{0, 1, Unique{}, "04000400000000000000"},
		{1, 0, Unique{}, "040g0000000000000000"},
		{255, 4095, Unique{255, 255, 255, 255, 255, 255, 255, 255, 255}, "07zzzzzzzzzzzzzzzzzz"},
		{0, 0, Unique{8: 31}, "0400000000000000000z"},
		{18, 0x345, Unique{1, 2, 3, 4, 5, 6, 7, 8, 9}, "04938m0g40r40m30e209"},
	} {
		id := NewID(test.store, test.slot, test.unique)
		require.Equal(t, test.text, id.String())
		require.Equal(t, test.store, id.Store())
		require.Equal(t, test.slot, id.Slot())
		require.Equal(t, test.unique, id.Unique())
		require.False(t, id.IsZero())
		back, err := ParseID(test.text)
		require.NoError(t, err)
		require.Equal(t, id, back)
		back, err = ParseID(strings.ToUpper(test.text))
		require.NoError(t, err)
		require.Equal(t, id, back)
		back, err = IDFromBytes(id.Bytes())
		require.NoError(t, err)
		require.Equal(t, id, back)
	}
}

func TestIDPanics(t *testing.T) {
	t.Parallel()
	for _, place := range [][2]int{{-1, 0}, {MaxStores, 0}, {0, -1}, {0, MaxSlots}} {
		require.Panics(t, func() { NewID(place[0], place[1], Unique{}) }, "%v", place)
	}
}

func TestIDSortsAsItsBits(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var ids []ID
	for range 1000 {
		ids = append(ids, NewID(r.IntN(MaxStores), r.IntN(MaxSlots), MintedUnique(r.Uint32(), r.Uint64())))
	}
	byText, byBits := slices.Clone(ids), slices.Clone(ids)
	slices.SortFunc(byText, func(a, b ID) int { return strings.Compare(a.String(), b.String()) })
	slices.SortFunc(byBits, func(a, b ID) int { return slices.Compare(a.Bytes(), b.Bytes()) })
	require.Equal(t, byBits, byText)
}

func TestParseIDRefuses(t *testing.T) {
	t.Parallel()
	good := NewID(0, 1, Unique{}).String()
	for name, test := range map[string]struct{ text, says string }{
		"empty":             {"", "has 0 characters; an id has 20"},
		"short":             {good[:19], "19 characters"},
		"long":              {good + "0", "21 characters"},
		"very long":         {strings.Repeat("é", 1000), "2000 characters"},
		"letter i":          {good[:5] + "i" + good[6:], "character 6 is not one of"},
		"letter u":          {good[:19] + "u", "character 20"},
		"hyphen":            {"-" + good[1:], "character 1"},
		"no UTF-8":          {"\xff" + good[1:], "character 1"},
		"more than 96 bits": {"2" + good[1:], "does not begin with 0 or 1"},
		"version 0":         {"00" + good[2:], "version 0"},
		"version 15":        {"1z" + good[2:], "version 15"},
	} {
		_, err := ParseID(test.text)
		require.ErrorIs(t, err, ErrInvalidArgument, name)
		require.ErrorContains(t, err, test.says, name)
		require.Equal(t, "timer_id", AsError(err).Field)
		require.Less(t, len(err.Error()), 400)
	}
	for _, n := range []int{0, 11, 13} {
		_, err := IDFromBytes(make([]byte, n))
		require.ErrorIs(t, err, ErrInvalidArgument)
	}
	_, err := IDFromBytes(make([]byte, 12))
	require.ErrorContains(t, err, "version 0")
}

func TestIDText(t *testing.T) {
	t.Parallel()
	type box struct {
		ID  ID `json:"id"`
		Opt ID `json:"opt,omitzero"`
	}
	id := NewID(2, 3, Unique{4})
	data, err := json.Marshal(box{ID: id})
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"`+id.String()+`"}`, string(data))
	var back box
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, box{ID: id}, back)

	data, err = json.Marshal(box{})
	require.NoError(t, err)
	require.JSONEq(t, `{"id":""}`, string(data))
	back = box{ID: id}
	require.NoError(t, json.Unmarshal(data, &back))
	require.True(t, back.ID.IsZero())
	require.ErrorIs(t, json.Unmarshal([]byte(`{"id":"nonsense"}`), &back), ErrInvalidArgument)
}

func TestMintedUnique(t *testing.T) {
	t.Parallel()
	require.Equal(t, Unique{}, MintedUnique(0, 0))
	require.Equal(t, Unique{0, 0, 0, 0x10, 0, 0, 0, 0, 1}, MintedUnique(1, 1))
	require.Equal(t, Unique{0xab, 0xcd, 0xef, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc}, MintedUnique(0xabcdef1, 0x23456789abc))
	require.Equal(t, Unique{255, 255, 255, 255, 255, 255, 255, 255, 255}, MintedUnique(1<<HostIDBits-1, 1<<CounterBits-1))
	require.Equal(t, MintedUnique(5, 6), MintedUnique(5+1<<HostIDBits, 6+1<<CounterBits), "what is too wide is cut off")
}

// The ids of named timers are the same for ever: stores keep timers under them. These were computed by another program.
func TestNamedStaysTheSame(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		slots, store int
		client, name string
		unique       Unique
		place        uint64
		id           string
	}{
		{
			16, 0, "shop", "order-7",
			Unique{0xc9, 0x4e, 0x28, 0x37, 0x7d, 0xc4, 0xd2, 0x26, 0x1d},
			8094353742366986828,
			"04001k4mwa1qfq2d49gx",
		},
		{
			4096, 0, "shop", "order-7",
			Unique{0xc9, 0x4e, 0x28, 0x37, 0x7d, 0xc4, 0xd2, 0x26, 0x1d},
			8094353742366986828,
			"04029k4mwa1qfq2d49gx",
		},
		{
			16, 3, "café", "日本",
			Unique{0xaa, 0xfc, 0xe6, 0x87, 0xed, 0x14, 0x54, 0xb7, 0x3f},
			10711469444122306616,
			"041g12nfssm7xma59dsz",
		},
		{
			1, 0, "a", "bc",
			Unique{0xf9, 0xc4, 0xa2, 0xab, 0x4d, 0xe8, 0x1a, 0xde, 0x0b},
			12503661997060126799,
			"040003ww98nb9qm1nqgb",
		},
		{
			16, 0, "ab", "c",
			Unique{0x3d, 0xc6, 0x93, 0xfb, 0x05, 0xf8, 0x70, 0x48, 0x57},
			18302943434966221944,
			"040010ywd4zv0qw70j2q",
		},
	} {
		unique, place := Named(test.client, test.name)
		require.Equal(t, test.unique, unique, test.name)
		require.Equal(t, test.place, place, test.name)
		require.Equal(t, test.id, NamedID(test.store, test.slots, test.client, test.name).String())
	}
}

func FuzzParseID(f *testing.F) {
	f.Add(NewID(1, 2, Unique{3}).String())
	f.Add(NewID(255, 4095, Unique{255, 255}).String())
	f.Add("")
	f.Add("07ZZZZZZZZZZZZZZZZZZ")
	f.Add("2zzzzzzzzzzzzzzzzzzz")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseID(text)
		if err != nil {
			require.ErrorIs(t, err, ErrInvalidArgument)
			require.True(t, utf8.ValidString(err.Error()))
			return
		}
		require.Equal(t, strings.ToLower(text), id.String())
		require.Equal(t, id, NewID(id.Store(), id.Slot(), id.Unique()))
		back, err := IDFromBytes(id.Bytes())
		require.NoError(t, err)
		require.Equal(t, id, back)
	})
}
