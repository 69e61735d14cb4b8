package carillon

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
)

// Limits of what an ID can name.
const (
	// MaxStores is how many stores an ID can tell apart.
	MaxStores = 1 << 8
	// MaxSlots is how many slots of one store an ID can tell apart.
	MaxSlots = 1 << 12
	// IDLength is the length of a printed ID, in characters.
	IDLength = 20

	idVersion = 1
)

// Unique is the part of an ID that is unique within its slot: 72 bits. It is what a store's keys hold.
type Unique [9]byte

// ID names a timer and says where it lives, so that no directory is needed. It has 96 bits:
//
//	version 4 | store 8 | slot 12 | unique 72
//
// Its text is 20 characters of lower-case Crockford base32 (digits and letters without i, l, o, u), which sorts as the
// bits do. The zero ID names nothing.
type ID struct {
	bits [12]byte
}

// NewID composes an ID. It panics if the store or the slot is out of range: both come from the group's own settings.
func NewID(store, slot int, unique Unique) ID {
	if store < 0 || store >= MaxStores || slot < 0 || slot >= MaxSlots {
		panic(fmt.Sprintf("carillon: no such place: store %d, slot %d", store, slot))
	}
	var id ID
	id.bits[0] = idVersion<<4 | byte(store>>4)
	id.bits[1] = byte(store<<4) | byte(slot>>8)
	id.bits[2] = byte(slot)
	copy(id.bits[3:], unique[:])
	return id
}

// Store is the number of the store that keeps the timer.
func (id ID) Store() int { return int(id.bits[0]&0x0f)<<4 | int(id.bits[1]>>4) }

// Slot is the slot of the store that keeps the timer.
func (id ID) Slot() int { return int(id.bits[1]&0x0f)<<8 | int(id.bits[2]) }

// Unique is the part that is unique within the slot.
func (id ID) Unique() Unique { return Unique(id.bits[3:]) }

// IsZero says whether the ID names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// Bytes are the 12 bytes of the ID, for binary forms.
func (id ID) Bytes() []byte { return id.bits[:] }

// IDFromBytes is the inverse of Bytes. It fails with ErrInvalidArgument.
func IDFromBytes(b []byte) (ID, error) {
	var id ID
	if len(b) != len(id.bits) {
		return ID{}, InvalidArgument("timer_id", "an id has %d bytes, this one has %d", len(id.bits), len(b))
	}
	copy(id.bits[:], b)
	return id, id.check()
}

func (id ID) check() error {
	if v := id.bits[0] >> 4; v != idVersion {
		return InvalidArgument("timer_id", "%q is of version %d; this release reads version %d", id.String(), v, idVersion)
	}
	return nil
}

// Crockford's base32 in lower case; see https://www.crockford.com/base32.html.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

var crockfordValue = func() (value [256]byte) {
	for i := range value {
		value[i] = 0xff
	}
	for i, c := range []byte(crockford) {
		value[c] = byte(i)
	}
	for i, c := range []byte(strings.ToUpper(crockford)) {
		value[c] = byte(i)
	}
	return value
}()

// String prints the ID as 20 characters of lower-case Crockford base32.
func (id ID) String() string {
	// 96 bits fill 20 characters of 5 bits with 4 bits to spare; the spare ones lead and are zero.
	hi := binary.BigEndian.Uint32(id.bits[0:4])
	lo := binary.BigEndian.Uint64(id.bits[4:12])
	var out [IDLength]byte
	for i := IDLength - 1; i >= 0; i-- {
		out[i] = crockford[lo&31]
		lo = lo>>5 | uint64(hi&31)<<59
		hi >>= 5
	}
	return string(out[:])
}

// ParseID reads what String prints. Upper-case letters are accepted. It fails with ErrInvalidArgument.
func ParseID(text string) (ID, error) {
	if len(text) != IDLength {
		return ID{}, InvalidArgument("timer_id", "%q has %d characters; an id has %d", clip(text), len(text), IDLength)
	}
	var hi uint32
	var lo uint64
	for i := range IDLength {
		v := crockfordValue[text[i]]
		if v == 0xff {
			return ID{}, InvalidArgument("timer_id", "%q: character %d is not one of %s", clip(text), i+1, crockford)
		}
		if i == 0 && v > 1 {
			return ID{}, InvalidArgument("timer_id", "%q does not begin with 0 or 1, as every id does", clip(text))
		}
		hi = hi<<5 | uint32(lo>>59)
		lo = lo<<5 | uint64(v)
	}
	var id ID
	binary.BigEndian.PutUint32(id.bits[0:4], hi)
	binary.BigEndian.PutUint64(id.bits[4:12], lo)
	return id, id.check()
}

// MarshalText implements encoding.TextMarshaler. The zero ID is empty text.
func (id ID) MarshalText() ([]byte, error) {
	if id.IsZero() {
		return nil, nil
	}
	return []byte(id.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler. Empty text is the zero ID.
func (id *ID) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*id = ID{}
		return nil
	}
	*id, err = ParseID(string(text))
	return err
}

// A minted unique is host id 28 bits | counter 44 bits.
const (
	// HostIDBits is the width of the host id in a minted Unique.
	HostIDBits = 28
	// CounterBits is the width of the counter in a minted Unique.
	CounterBits = 44
)

// MintedUnique composes the unique part of a minted id: the host id that a process has leased, and its counter. Values
// beyond their width are cut off.
func MintedUnique(host uint32, counter uint64) Unique {
	var u Unique
	host &= 1<<HostIDBits - 1
	counter &= 1<<CounterBits - 1
	// 28 + 44 = 72 bits, big-endian: the host's 28, then the counter's 44.
	u[0] = byte(host >> 20)
	u[1] = byte(host >> 12)
	u[2] = byte(host >> 4)
	u[3] = byte(host<<4) | byte(counter>>40)
	u[4] = byte(counter >> 32)
	u[5] = byte(counter >> 24)
	u[6] = byte(counter >> 16)
	u[7] = byte(counter >> 8)
	u[8] = byte(counter)
	return u
}

// Named is where a timer with a name of the client's own choice lives: the unique part of its id, and a hash that picks
// its slot. Both come from SHA-256 of the client id and the name, so that everyone computes the same.
func Named(clientID, name string) (unique Unique, place uint64) {
	h := sha256.New()
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(clientID))) // tells ("ab", "c") from ("a", "bc")
	h.Write(n[:])
	h.Write([]byte(clientID))
	h.Write([]byte(name))
	sum := h.Sum(nil)
	return Unique(sum[:9]), binary.BigEndian.Uint64(sum[16:24])
}

// NamedID is the id of the client's timer of that name in a group of one store (number 0) with that many slots.
func NamedID(store, slots int, clientID, name string) ID {
	unique, place := Named(clientID, name)
	return NewID(store, int(place%uint64(slots)), unique)
}

// clip keeps strange input from filling an error message, and from making it something other than UTF-8.
func clip(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
