package importer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/carillon-io/carillon"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lines makes an input of so many nameless timers, due in a day.
func lines(n int) string {
	var text strings.Builder
	for i := range n {
		text.WriteString(jsonLine(i+1, "", 24*time.Hour))
	}
	return text.String()
}

func readRefusals(t *testing.T, path string) []Refusal {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	var out []Refusal
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 4<<20)
	for scanner.Scan() {
		var r Refusal
		require.NoError(t, json.Unmarshal(scanner.Bytes(), &r))
		out = append(out, r)
	}
	require.NoError(t, scanner.Err())
	return out
}

func TestEveryLineBecomesATimer(t *testing.T) {
	t.Parallel()
	for _, input := range []struct {
		name   string
		reader func() io.Reader
	}{
		{"a file", func() io.Reader { return strings.NewReader(lines(2500)) }},
		{"a pipe", func() io.Reader { return struct{ io.Reader }{strings.NewReader(lines(2500))} }},
		{"no line break at the end", func() io.Reader { return strings.NewReader(strings.TrimSuffix(lines(2500), "\n")) }},
		{"other line breaks, a byte order mark, empty lines", func() io.Reader {
			return strings.NewReader("\ufeff" + strings.ReplaceAll(lines(2500), "\n", "\r\n\r\n \r\n"))
		}},
	} {
		t.Run(input.name, func(t *testing.T) {
			t.Parallel()
			s := newService()
			result, err := Run(t.Context(), Options{
				Service: s, Input: input.reader(), Now: s.time, BatchLines: 100, ExactlyOnce: true,
			})
			require.NoError(t, err)
			require.True(t, result.Complete)
			require.EqualValues(t, 2500, result.Created)
			require.Zero(t, result.Refused)
			once, more := s.createdOnce()
			require.Equal(t, 2500, once)
			require.Zero(t, more)
		})
	}
}

func TestBadLinesAreReportedAndStopNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := jsonLine(1, "", time.Hour)
	input := strings.Join([]string{
		good,
		"{\n",
		`{"client_id":"c","target":{"mailbox":{}},"delay":"1s"} and more` + "\n",
		`{"client_id":"c","taget":{}}` + "\n",
		`{"client_id":"","target":{"mailbox":{}},"delay":"1s"}` + "\n",
		`{"client_id":"c","target":{"mailbox":{}},"delay":"soon"}` + "\n",
		`{"client_id":"c","target":{"mailbox":{}},"delay":"1s","on_conflict":"keep"}` + "\n",
		"{\"client_id\":\"\xff\"}\n",
		`{"client_id":"` + strings.Repeat("x", maxLine) + `"}` + "\n",
		"[1]\n",
		jsonLine(2, "a name", time.Hour),
		jsonLine(3, "a name", time.Hour),
	}, "")
	s := newService()
	refused := filepath.Join(dir, "refused")
	result, err := Run(t.Context(), Options{
		Service: s, Input: strings.NewReader(input), Refused: refused, Now: s.time, ExactlyOnce: true,
	})
	require.NoError(t, err)
	require.Equal(t, Totals{Lines: 12, Created: 2, Refused: 10}, result.Totals)

	want := []struct {
		line  int64
		kind  carillon.ErrorType
		field string
	}{
		{2, carillon.TypeInvalidArgument, ""},
		{3, carillon.TypeInvalidArgument, ""},
		{4, carillon.TypeInvalidArgument, "taget"},
		{5, carillon.TypeInvalidArgument, "client_id"},
		{6, carillon.TypeInvalidArgument, "delay"},
		{7, carillon.TypeInvalidArgument, "on_conflict"},
		{8, carillon.TypeInvalidArgument, ""},
		{9, carillon.TypeInvalidArgument, ""},
		{10, carillon.TypeInvalidArgument, ""},
		{12, carillon.TypeAlreadyExists, ""},
	}
	got := map[int64]Refusal{}
	for _, r := range readRefusals(t, refused) {
		got[r.Line] = r
	}
	require.Len(t, got, len(want))
	for _, w := range want {
		require.Contains(t, got, w.line)
		require.Equal(t, w.kind, got[w.line].Error.Type, "line %d", w.line)
		require.Equal(t, w.field, got[w.line].Error.Field, "line %d: %v", w.line, got[w.line].Error)
		require.NotEmpty(t, got[w.line].Error.Message)
	}
	require.Equal(t, "{", got[2].Text)
	require.Len(t, got[9].Text, keptOfLongLine)
}

func TestACompleteImportIsNotRepeated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newService()
	run := func(input string) (Result, error) {
		return Run(t.Context(), Options{
			Service: s, Input: strings.NewReader(input), Journal: filepath.Join(dir, "journal"), Now: s.time,
			BatchLines: 10, ExactlyOnce: true,
		})
	}
	first, err := run(lines(95))
	require.NoError(t, err)
	require.False(t, first.Resumed)

	second, err := run(lines(95))
	require.NoError(t, err)
	require.True(t, second.Resumed)
	require.Equal(t, first.Totals, second.Totals)
	require.Equal(t, first.ImportID, second.ImportID)
	require.EqualValues(t, 95, second.LinesBefore)

	grown, err := run(lines(120))
	require.NoError(t, err)
	require.EqualValues(t, 120, grown.Created)
	once, more := s.createdOnce()
	require.Equal(t, 120, once)
	require.Zero(t, more)

	for name, input := range map[string]string{
		"shorter":         lines(60),
		"other beginning": strings.Replace(lines(120), `"payload":3`, `"payload":4`, 1),
		"other end":       strings.Replace(lines(120), `"payload":119`, `"payload":200`, 1),
		"empty":           "",
	} {
		_, err := run(input)
		require.ErrorIs(t, err, carillon.ErrInvalidArgument, name)
		require.ErrorContains(t, err, "remove the journal", name)
	}
}

func TestALastLineThatGrowsIsNoticed(t *testing.T) {
	t.Parallel()
	s := newService()
	journal := filepath.Join(t.TempDir(), "journal")
	input := strings.TrimSuffix(lines(5), "\n")
	for _, step := range []struct {
		input string
		want  string
	}{{input, ""}, {input, ""}, {input + "x\n", "has grown"}} {
		_, err := Run(t.Context(), Options{Service: s, Input: strings.NewReader(step.input), Journal: journal, Now: s.time})
		if step.want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, step.want)
		}
	}
}

func TestAJournalIsGoodForOneDestinationAndOneImportAtATime(t *testing.T) {
	t.Parallel()
	s := newService()
	dir := t.TempDir()
	options := Options{
		Service: s, Input: strings.NewReader(lines(1)), Journal: filepath.Join(dir, "journal"), Destination: "here",
		Now: s.time,
	}
	held, release := make(chan struct{}), make(chan struct{})
	s.before = func(int, []carillon.TimerSpec) error {
		close(held)
		<-release
		return nil
	}
	var (
		done sync.WaitGroup
		err  error
	)
	done.Go(func() { _, err = Run(t.Context(), options) })
	<-held
	second := options
	second.Input = strings.NewReader(lines(1))
	_, secondErr := Run(t.Context(), second)
	require.ErrorIs(t, secondErr, carillon.ErrInvalidArgument)
	require.ErrorContains(t, secondErr, "another import")
	close(release)
	done.Wait()
	require.NoError(t, err)

	second.Destination = "there"
	_, err = Run(t.Context(), second)
	require.ErrorContains(t, err, "into here, not into there")

	require.NoError(t, os.WriteFile(options.Journal, []byte("no journal\n"), 0o600))
	_, err = Run(t.Context(), options)
	require.ErrorIs(t, err, carillon.ErrInvalidArgument)
	require.ErrorContains(t, err, "line 1")
}

func TestAForeignRefusedFileIsNotOverwritten(t *testing.T) {
	t.Parallel()
	s := newService()
	refused := filepath.Join(t.TempDir(), "refused")
	require.NoError(t, os.WriteFile(refused, []byte("mine\n"), 0o600))
	_, err := Run(t.Context(), Options{Service: s, Input: strings.NewReader("{\n"), Refused: refused, Now: s.time})
	require.ErrorIs(t, err, carillon.ErrInvalidArgument)
	data, err := os.ReadFile(refused)
	require.NoError(t, err)
	require.Equal(t, "mine\n", string(data))
}

func TestTheServiceComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		failures := 0
		s.before = func(call int, specs []carillon.TimerSpec) error {
			if call <= 3 {
				failures++
				return carillon.Errorf(carillon.TypeUnavailable, "away")
			}
			return nil
		}
		result, err := Run(t.Context(), Options{
			Service: s, Input: strings.NewReader(lines(10)), Parallel: 1, ExactlyOnce: true,
		})
		require.NoError(t, err)
		require.EqualValues(t, 10, result.Created)
		require.Equal(t, 3, failures)
	})
}

func TestAPartOfTheStoreIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		away := 5
		s.refuse = func(spec carillon.TimerSpec) *carillon.Error {
			if string(spec.Payload.GetData()) == "7" && away > 0 {
				away--
				return carillon.Errorf(carillon.TypeUnavailable, "that slot's node is away")
			}
			return nil
		}
		result, err := Run(t.Context(), Options{Service: s, Input: strings.NewReader(lines(10)), ExactlyOnce: true})
		require.NoError(t, err)
		require.EqualValues(t, 10, result.Created)
		once, more := s.createdOnce()
		require.Equal(t, 10, once)
		require.Zero(t, more)
		require.Zero(t, away)

		away = 1_000_000 // it stays away: the import stops, and no line is taken for refused
		result, err = Run(
			t.Context(),
			Options{Service: newRefusing(s), Input: strings.NewReader(lines(10)), ExactlyOnce: true},
		)
		require.ErrorIs(t, err, carillon.ErrUnavailable)
		require.Zero(t, result.Refused)
	})
}

// newRefusing is a new service that refuses as the given one does.
func newRefusing(s *service) *service {
	n := newService()
	n.refuse = s.refuse
	return n
}

func TestTheServiceStaysAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		journal := filepath.Join(t.TempDir(), "journal")
		s.after = func(call int, specs []carillon.TimerSpec) error { // it does what it is asked, and the answer is lost
			if call >= 5 {
				return carillon.Errorf(carillon.TypeUnavailable, "away")
			}
			return nil
		}
		options := Options{
			Service: s, Input: strings.NewReader(lines(100)), Journal: journal, BatchLines: 10, RetryFor: time.Minute,
			ExactlyOnce: true,
		}
		result, err := Run(t.Context(), options)
		require.ErrorIs(t, err, carillon.ErrUnavailable)
		require.False(t, result.Complete)
		require.EqualValues(t, 40, result.Created)

		s.after = nil
		options.Input = strings.NewReader(lines(100))
		result, err = Run(t.Context(), options)
		require.NoError(t, err)
		require.EqualValues(t, 100, result.Created)
		once, more := s.createdOnce()
		require.Equal(t, 100, once)
		require.Zero(t, more)
	})
}

func TestAQuotaIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		refusals := 0
		s.refuse = func(spec carillon.TimerSpec) *carillon.Error {
			if refusals++; refusals <= 25 {
				e := carillon.Errorf(carillon.TypeQuotaExceeded, "enough for now")
				e.RetryAfter = carillon.Duration(30 * time.Second)
				return e
			}
			return nil
		}
		result, err := Run(t.Context(), Options{
			Service: s, Input: strings.NewReader(lines(20)), BatchLines: 10, Parallel: 1, ExactlyOnce: true,
		})
		require.NoError(t, err)
		require.EqualValues(t, 20, result.Created)
	})
}

func TestStoppingFinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	s := newService()
	ctx, stop := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	journal := filepath.Join(t.TempDir(), "journal")
	s.before = func(call int, _ []carillon.TimerSpec) error {
		if call == 3 {
			stop(interrupted)
		}
		return nil
	}
	options := Options{
		Service: s, Input: strings.NewReader(lines(1000)), Journal: journal, BatchLines: 10, Parallel: 2, Now: s.time,
		ExactlyOnce: true,
	}
	result, err := Run(ctx, options)
	require.ErrorIs(t, err, interrupted)
	require.False(t, result.Complete)
	once, _ := s.createdOnce()
	require.EqualValues(t, once, result.Created, "each timer that was created is accounted for")

	options.Input = strings.NewReader(lines(1000))
	result, err = Run(t.Context(), options)
	require.NoError(t, err)
	require.EqualValues(t, 1000, result.Created)
}

func TestASlowPipeIsNotKeptWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		in, out := io.Pipe()
		var result Result
		var done sync.WaitGroup
		done.Go(func() {
			var err error
			result, err = Run(t.Context(), Options{Service: s, Input: in, ExactlyOnce: true})
			require.NoError(t, err)
		})
		for n := 1; n <= 3; n++ {
			_, err := io.WriteString(out, jsonLine(n, "", time.Hour))
			require.NoError(t, err)
			time.Sleep(2 * linger) //nolint:forbidigo // on the clock of synctest's bubble
			synctest.Wait()
			once, _ := s.createdOnce()
			require.Equal(t, n, once)
		}
		require.NoError(t, out.Close())
		done.Wait()
		require.EqualValues(t, 3, result.Created)
	})
}

// TestAKilledImportCreatesNothingTwice kills an import at a random request, before or after the service has carried it
// out, lets a random time pass, and runs it again from what is on the disk, until it comes through.
func TestAKilledImportCreatesNothingTwice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "import") //nolint:usetesting // one for each of rapid's checks
		require.NoError(t, err)
		defer func() { require.NoError(t, os.RemoveAll(dir)) }()
		s := newService()
		var input bytes.Buffer
		count := rapid.IntRange(1, 60).Draw(t, "lines")
		bad := 0
		for i := range count {
			kind := rapid.IntRange(0, 9).Draw(t, "kind")
			due := time.Duration(rapid.IntRange(0, 300).Draw(t, "due in minutes")) * time.Minute
			switch {
			case kind == 0:
				bad++
				input.WriteString("{}\n")
			case kind < 4:
				input.WriteString(jsonLine(i+1, "name"+string(rune('0'+i%10))+"-"+strings.Repeat("x", i/10), due))
			default:
				input.WriteString(jsonLine(i+1, "", due))
			}
		}
		exactlyOnce := rapid.Bool().Draw(t, "exactly once")
		var result Result
		for life := 0; ; life++ {
			killAt := rapid.IntRange(1, 8).Draw(t, "kill at")
			carriedOut := rapid.Bool().Draw(t, "carried out")
			if life == 5 {
				killAt = 1000
			}
			var killed bool
			result, killed, err = s.untilKilled(dir, life, input.Bytes(), killAt, carriedOut, exactlyOnce)
			if !killed {
				break
			}
			s.pass(time.Duration(rapid.SampledFrom([]int{0, 1, 9, 12, 16, 45, 90, 500}).Draw(t, "minutes later")) * time.Minute)
		}
		require.NoError(t, err)
		once, more := s.createdOnce()
		require.Zero(t, more, "created twice")
		require.EqualValues(t, count, result.Lines)
		require.EqualValues(t, count, result.Created+result.Existing+result.Refused)
		refusals := readRefusalsIfAny(t, filepath.Join(dir, "refused"))
		require.Len(t, refusals, int(result.Refused))
		unknown := 0
		for _, r := range refusals {
			if r.Error.Type == carillon.TypeUnavailable {
				unknown++
			}
		}
		require.Equal(t, bad+unknown, int(result.Refused))
		require.LessOrEqual(t, int(result.Created), once, "counted as created and not there")
		require.LessOrEqual(t, count-bad, once+unknown, "lost")
	})
}

func readRefusalsIfAny(t *rapid.T, path string) []Refusal {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(t, err)
	var out []Refusal
	for text := range bytes.Lines(data) {
		var r Refusal
		require.NoError(t, json.Unmarshal(text, &r))
		out = append(out, r)
	}
	return out
}

// untilKilled runs an import. At a request it is killed: nothing that it does from then on reaches the disk that the
// next one sees.
func (s *service) untilKilled(
	dir string, life int, input []byte, killAt int, carriedOut, exactlyOnce bool,
) (result Result, killed bool, err error) {
	s.mu.Lock()
	s.calls = 0
	kill := errors.New("killed")
	var once sync.Once
	copyTo := func() {
		once.Do(func() {
			for _, name := range []string{"journal", "refused"} {
				data, err := os.ReadFile(filepath.Join(dir, name))
				if errors.Is(err, os.ErrNotExist) {
					continue
				}
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, name+".kept"), data, 0o600)
				}
				if err != nil {
					panic(err)
				}
			}
			killed = true
		})
	}
	s.before = func(call int, specs []carillon.TimerSpec) error {
		switch {
		case call == killAt && !carriedOut:
			copyTo()
			return backoffPermanent(kill)
		case call > killAt:
			return backoffPermanent(kill)
		}
		return nil
	}
	s.after = func(call int, specs []carillon.TimerSpec) error {
		if call == killAt {
			copyTo()
			return backoffPermanent(kill)
		}
		return nil
	}
	s.mu.Unlock()
	result, err = Run(context.Background(), Options{
		Service: s, Input: bytes.NewReader(input), Journal: filepath.Join(dir, "journal"), Refused: filepath.Join(dir,
			"refused"),
		Now: s.time, BatchLines: 7, Parallel: 3, ExactlyOnce: exactlyOnce,
	})
	if !killed {
		return result, false, err
	}
	for _, name := range []string{"journal", "refused"} {
		kept := filepath.Join(dir, name+".kept")
		if _, err := os.Stat(kept); errors.Is(err, os.ErrNotExist) {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				return result, true, err
			}
			continue
		}
		if err := os.Rename(kept, filepath.Join(dir, name)); err != nil {
			return result, true, err
		}
	}
	return result, true, nil
}
