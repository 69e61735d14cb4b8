// Command carillon-check judges a run of Carillon: what clients asked for, what receivers got, and what the store says, against
// the invariants of the architecture page.
//
//	carillon-check --asked asked.jsonl --received received.jsonl --redis-url redis://localhost:6379 --group default
//
// check.Asked and check.Received describe the two files. Without --redis-url the store is not asked; with it, it has to be at
// rest. Exit code 0: all that is judged holds; 1: something is broken; 2: it could not be judged.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/integration/check"
	"github.com/carillon-io/carillon/store"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes.
const (
	holds = iota
	broken
	unknown
)

type settings struct {
	asked, received, redisURL, group, output string
	tolerance                                time.Duration
	all                                      bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var s settings
	f := flag.NewFlagSet("carillon-check", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&s.asked, "asked", check.AskedFile, "the `file` of what clients asked for")
	f.StringVar(&s.received, "received", check.ReceivedFile, "the `file` of what receivers got")
	f.StringVar(&s.redisURL, "redis-url", "", "the `URL` of the store; without it the store is not asked")
	f.StringVar(&s.group, "group", carillon.DefaultGroup, "the `name` of the group")
	f.DurationVar(&s.tolerance, "tolerance", time.Millisecond, "how far the receivers' clock may be off from the store's")
	f.StringVar(&s.output, "o", "table", "table or json")
	f.BoolVar(&s.all, "all", false, "show every timer in the table, not only those of which something is broken")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return holds
		}
		return unknown
	}
	j, err := judge(ctx, s, f.Args())
	if err == nil {
		err = write(stdout, s, j)
	}
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "carillon-check:", err)
		return unknown
	case !j.Holds:
		return broken
	default:
		return holds
	}
}

func judge(ctx context.Context, s settings, rest []string) (j check.Judgement, err error) {
	if len(rest) > 0 {
		return j, fmt.Errorf("%q is no flag; this command takes no arguments", rest[0])
	}
	if s.output != "table" && s.output != "json" {
		return j, fmt.Errorf("-o %q is neither table nor json", s.output)
	}
	ledger, err := check.ReadFiles(s.asked, s.received)
	if err != nil {
		return j, err
	}
	if s.redisURL == "" {
		return ledger.Judge(s.tolerance, nil), nil
	}
	client, err := store.Connect(s.redisURL)
	if err != nil {
		return j, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	stored, err := ledger.Look(ctx, client, s.group)
	if err != nil {
		return j, err
	}
	return ledger.Judge(s.tolerance, stored), nil
}

func write(w io.Writer, s settings, j check.Judgement) error {
	if s.output == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(j)
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "INVARIANT\tVERDICT\tPROMISE")
	for _, f := range j.Findings {
		verdict := "holds"
		switch {
		case f.Broken > 0:
			verdict = fmt.Sprintf("BROKEN %d times", f.Broken)
		case !f.Judged:
			verdict = "not judged"
		}
		fmt.Fprintf(t, "%d\t%s\t%s\n", f.Invariant, verdict, f.Promise)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	summary := j.Report
	summary.Broken = nil // they follow
	fmt.Fprintf(w, "\n%s\n", summary)
	for _, b := range j.Store {
		fmt.Fprintf(w, "store: %d: %s\n", b.Invariant, b.What)
	}
	return writeTimers(w, s.all, j.Timers)
}

func writeTimers(w io.Writer, all bool, timers []check.Verdict) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	header := "\nTIMER\tSTATE\tRECEIVED\tINVARIANT\tWHAT\n"
	for _, v := range timers {
		if len(v.Broken) == 0 && !all {
			break // those with something broken come first
		}
		fmt.Fprint(t, header)
		header = ""
		if len(v.Broken) == 0 {
			fmt.Fprintf(t, "%s\t%s\t%d\tall hold\t\n", v.TimerID, v.State, v.Received)
		}
		for _, b := range v.Broken {
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\n", v.TimerID, v.State, v.Received, b.Invariant, b.What)
		}
	}
	return t.Flush()
}
