package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/urfave/cli/v2"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/cli/importer"
)

const (
	flagFile        = "file"
	flagRefused     = "refused"
	flagJournal     = "journal"
	flagExactlyOnce = "exactly-once"
	flagParallel    = "parallel"
	flagBatch       = "batch"
	flagRetryFor    = "retry-for"
	flagNoProgress  = "no-progress"
)

func (a *app) importCommand() *cli.Command {
	return &cli.Command{
		Name:  "import",
		Usage: "create any number of timers from a file",
		Description: "Each line of the file is a timer in JSON, as timer create makes it:\n\n" +
			`  {"client_id":"shop","fire_at":"2030-01-31T12:00:00Z","target":{"mailbox":{}},"payload":{"order":17}}` + "\n\n" +
			"An import can be interrupted, or killed, and run again by the same command: it goes on where it " +
			"was, and creates\n" +
			"nothing twice. It remembers that in a journal beside the file; remove the journal to import the " +
			"file once more. For\n" +
			"this, a timer without a name is given one, import/<import>/<line>; --exactly-once=false leaves it " +
			"without, and then a\n" +
			"line that was under way when the import was killed more than ten minutes ago is reported and not sent again.\n\n" +
			"Lines of which no timer was made are written to a file, with their number and the reason (exit code 2).\n\n" +
			"Examples:\n\n" +
			"  carillon timer import --file timers.ndjson\n" +
			"  generate | carillon timer import --file - --refused refused.ndjson\n" +
			"  carillon timer import --file timers.ndjson --redis-url redis://localhost:6380      straight to the store",
		Flags: flags([]cli.Flag{
			&cli.StringFlag{Name: flagFile, Usage: "the `file`; - is standard input (required)"},
			&cli.StringFlag{
				Name:        flagRefused,
				Usage:       "the `file` that takes refused lines",
				DefaultText: "<file>.refused.ndjson",
			},
			&cli.StringFlag{
				Name: flagJournal,
				Usage: "the `file` that remembers how far the import is; for standard input there is none " +
					"unless you name one",
				DefaultText: "<file>.carillon-import",
			},
			&cli.BoolFlag{
				Name:  flagExactlyOnce,
				Value: true,
				Usage: "give timers without a name a name, so that nothing is created twice",
			},
			&cli.IntFlag{Name: flagParallel, Value: importer.DefaultParallel, Usage: "how many requests are under way at once"},
			&cli.IntFlag{Name: flagBatch, Value: carillon.MaxBatch, Usage: "how many lines make one request"},
			&cli.DurationFlag{
				Name:  flagRetryFor,
				Value: importer.DefaultRetryFor,
				Usage: "how long a request is tried again while nobody answers",
			},
			&cli.BoolFlag{Name: flagNoProgress, Usage: "no progress bar", DisableDefaultText: true},
		}, connectionFlags()),
		Action: a.action(func(ctx context.Context, in *invocation) (err error) {
			o, size, closeInput, err := in.readImport()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeInput()) }()
			return in.connect(ctx, func(ctx context.Context, s *session) error { return s.importTimers(ctx, o, size) })
		}),
	}
}

// readImport reads the command's flags and opens the input. A size of 0 is not known.
func (in *invocation) readImport() (o importer.Options, size int64, closeInput func() error, err error) {
	o = importer.Options{
		Refused: in.String(flagRefused), Journal: in.String(flagJournal), ExactlyOnce: in.Bool(flagExactlyOnce),
		Parallel: in.Int(flagParallel), BatchLines: in.Int(flagBatch), RetryFor: in.Duration(flagRetryFor), Now: in.Now,
	}
	path := in.String(flagFile)
	switch {
	case path == "":
		return o, 0, nil, flagError(flagFile, "which file? - is standard input")
	case o.Parallel < 1 || o.Parallel > 64:
		return o, 0, nil, flagError(flagParallel, "%d is not between 1 and 64", o.Parallel)
	case o.BatchLines < 1 || o.BatchLines > carillon.MaxBatch:
		return o, 0, nil, flagError(flagBatch, "%d is not between 1 and %d", o.BatchLines, carillon.MaxBatch)
	case o.RetryFor < 0 || o.RetryFor > importer.RequestMemory/2:
		return o, 0, nil, flagError(flagRetryFor, "%s is not between 0 and %s", o.RetryFor, importer.RequestMemory/2)
	}
	if path == "-" {
		o.Input = in.Stdin
		if o.Refused == "" {
			o.Refused = "stdin.refused.ndjson"
		}
		return o, 0, func() error { return nil }, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return o, 0, nil, flagError(flagFile, "%w", err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = flagError(flagFile, "%s is a directory", path)
	}
	if err != nil {
		return o, 0, nil, errors.Join(err, f.Close())
	}
	if o.Refused == "" {
		o.Refused = path + ".refused.ndjson"
	}
	if o.Journal == "" {
		o.Journal = path + ".carillon-import"
	}
	for _, other := range []struct{ flag, path string }{{flagRefused, o.Refused}, {flagJournal, o.Journal}} {
		if otherInfo, err := os.Stat(other.path); filepath.Clean(other.path) == filepath.Clean(path) ||
			err == nil && os.SameFile(info, otherInfo) {
			return o, 0, nil, errors.Join(flagError(other.flag, "it is the file that is imported; name another"), f.Close())
		}
	}
	if filepath.Clean(o.Refused) == filepath.Clean(o.Journal) {
		return o, 0, nil, errors.Join(flagError(flagRefused, "it is the journal; name another"), f.Close())
	}
	o.Input = f
	if info.Mode().IsRegular() {
		size = info.Size()
	}
	return o, size, f.Close, nil
}

// importResult is the answer of timer import.
type importResult struct {
	ImportID string `json:"import_id"`
	importer.Totals
	// Resumed says that an earlier run had begun, LinesBefore what it had settled.
	Resumed     bool  `json:"resumed"`
	LinesBefore int64 `json:"lines_before,omitempty"`
	Complete    bool  `json:"complete"`
	// RefusedFile holds the refused lines, if there are any; Journal remembers the import.
	RefusedFile string `json:"refused_file,omitempty"`
	Journal     string `json:"journal,omitempty"`
	// Seconds and LinesPerSecond are of this run.
	Seconds        float64 `json:"seconds"`
	LinesPerSecond float64 `json:"lines_per_second"`
}

func (s *session) importTimers(ctx context.Context, o importer.Options, size int64) error {
	if err := s.probe(ctx); err != nil {
		return err
	}
	o.Service, o.Destination, o.Timeout = s.timers, s.to.Destination(), s.timeout
	finish := s.importProgress(&o, size)
	start := s.Now()
	got, err := importer.Run(ctx, o)
	took := s.Now().Sub(start)
	finish(err == nil)
	if err != nil && got.ImportID == "" {
		return err // it never began
	}
	result := importResult{
		ImportID: got.ImportID, Totals: got.Totals, Resumed: got.Resumed, LinesBefore: got.LinesBefore,
		Complete: got.Complete,
		Journal:  o.Journal, Seconds: took.Seconds(),
	}
	if took > 0 {
		result.LinesPerSecond = float64(got.Lines-got.LinesBefore) / took.Seconds()
	}
	if got.Refused > 0 {
		result.RefusedFile = o.Refused
	}
	if printErr := s.out.one(result, func() []field {
		existing, refused, before := "", "", ""
		if got.Existing > 0 {
			existing = thousands(got.Existing) + " (they were there, and on_conflict lets them stand)"
		}
		if got.Refused > 0 {
			refused = thousands(got.Refused) + ", see " + o.Refused
		}
		if got.Resumed {
			before = plural(got.LinesBefore, "line") + " by an earlier run"
		}
		return []field{
			{"Lines", thousands(got.Lines)},
			{"Created", thousands(got.Created)},
			{"Existing", existing},
			{"Refused", refused},
			{"Before", before},
			{"Took", fmt.Sprintf("%s, %s lines/s", compact(took.Round(time.Millisecond)),
				thousands(int64(result.LinesPerSecond)))},
			{"Import", got.ImportID},
		}
	}); printErr != nil {
		return errors.Join(err, printErr)
	}
	switch {
	case err != nil && o.Journal != "":
		return hinted{err, "Run the same command again to go on where it was."}
	case err != nil:
		return hinted{err, "It cannot be resumed: standard input was imported without --journal."}
	case got.Refused > 0:
		return carillon.InvalidArgument(
			"",
			"%s refused: the reasons are in %s",
			plural(got.Refused, "line")+" "+wasWere(got.Refused),
			o.Refused,
		)
	}
	return nil
}

func wasWere(n int64) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// importProgress shows how far the import is, if there is a terminal to show it on. finish has to be called.
func (s *session) importProgress(o *importer.Options, size int64) (finish func(good bool)) {
	if s.Bool(flagNoProgress) || !s.IsTerminal(s.Stderr) {
		return func(bool) {}
	}
	bar := progress.NewWriter()
	bar.SetOutputWriter(s.Stderr)
	bar.SetStyle(progress.StyleBlocks)
	bar.SetUpdateFrequency(200 * time.Millisecond)
	bar.SetTrackerLength(30)
	bar.SetMessageLength(44)
	bar.Style().Visibility.ETA = size > 0
	bar.Style().Visibility.Speed = true
	tracker := &progress.Tracker{Message: "importing", Total: size, Units: progress.UnitsBytes}
	bar.AppendTracker(tracker)
	done := make(chan struct{})
	go func() {
		defer close(done)
		bar.Render()
	}()
	o.Progress = func(p importer.Progress) {
		tracker.UpdateMessage(fmt.Sprintf("%s created, %s refused", thousands(p.Created), thousands(p.Refused)))
		tracker.SetValue(p.Bytes)
	}
	return func(good bool) {
		if good {
			tracker.MarkAsDone()
		} else {
			tracker.MarkAsErrored()
		}
		bar.Stop()
		<-done
	}
}
