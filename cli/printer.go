package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Format is a form of output.
type Format string

// The forms.
const (
	// FormatText is for people: tables and cards.
	FormatText Format = "text"
	// FormatJSON is one document: an object, or an array where there may be many.
	FormatJSON Format = "json"
	// FormatJSONL is one object on each line, as it comes.
	FormatJSONL Format = "jsonl"
)

// printer writes the answers of commands to standard output. It is the only place that knows of forms.
type printer struct {
	w      io.Writer
	format Format
	now    func() time.Time
}

// field is a line of a card.
type field struct {
	name, value string
}

// one prints a single answer: a card of fields, or the value as JSON.
func (p *printer) one(value any, card func() []field) error {
	switch p.format {
	case FormatJSON:
		return p.json(value, "", "  ", "\n")
	case FormatJSONL:
		return p.json(value, "", "", "\n")
	default:
		return p.card(card())
	}
}

// card prints names and values in two columns. Fields without a value are left out.
func (p *printer) card(fields []field) error {
	width := 0
	for _, f := range fields {
		if f.value != "" {
			width = max(width, len(f.name))
		}
	}
	var out strings.Builder
	for _, f := range fields {
		if f.value == "" {
			continue
		}
		// A value of several lines stays in its column.
		value := strings.ReplaceAll(printable(f.value), "\n", "\n"+strings.Repeat(" ", width+2))
		fmt.Fprintf(&out, "%-*s  %s\n", width, f.name, value)
	}
	_, err := io.WriteString(p.w, out.String())
	return err
}

func (p *printer) json(value any, prefix, indent, end string) error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // it goes to no browser
	enc.SetIndent(prefix, indent)
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	data := append(bytes.TrimRight(out.Bytes(), "\n"), end...)
	_, err := p.w.Write(data)
	return err
}

// column is a column of a table.
type column struct {
	name  string
	right bool
}

// list prints answers as they come: rows of a table, elements of an array, or lines. It has to be closed.
type list struct {
	*printer
	columns []column
	widths  []int
	rows    []table.Row
	count   int
	every   int // rows of a piece of the table
}

// pieceOfTable is how many rows the widths of the columns are computed from; what comes after is fitted to them.
const pieceOfTable = 100

func (p *printer) list(columns ...column) *list {
	return &list{printer: p, columns: columns, widths: make([]int, len(columns)), every: pieceOfTable}
}

// live is a list whose rows are shown at once.
func (p *printer) live(columns ...column) *list {
	l := p.list(columns...)
	l.every = 1
	return l
}

// add prints one answer: the cells of its row, or the value as JSON.
func (l *list) add(value any, cells ...string) error {
	l.count++
	switch l.format {
	case FormatJSON:
		separator := ",\n  "
		if l.count == 1 {
			separator = "[\n  "
		}
		if _, err := io.WriteString(l.w, separator); err != nil {
			return err
		}
		return l.json(value, "  ", "  ", "")
	case FormatJSONL:
		return l.json(value, "", "", "\n")
	}
	row := make(table.Row, len(cells))
	for i, cell := range cells {
		cell = strings.ReplaceAll(printable(cell), "\n", " ")
		row[i] = cell
		l.widths[i] = max(l.widths[i], text.StringWidthWithoutEscSequences(cell), len(l.columns[i].name))
	}
	l.rows = append(l.rows, row)
	if len(l.rows) >= l.every {
		return l.flush()
	}
	return nil
}

// flush prints the rows so far.
func (l *list) flush() error {
	if len(l.rows) == 0 {
		return nil
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleDefault)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	t.Style().Box.PaddingLeft, t.Style().Box.PaddingRight = "", "  "
	configs := make([]table.ColumnConfig, len(l.columns))
	header := make(table.Row, len(l.columns))
	for i, c := range l.columns {
		configs[i] = table.ColumnConfig{Number: i + 1, WidthMin: l.widths[i]}
		if c.right {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
		header[i] = c.name
	}
	t.SetColumnConfigs(configs)
	if l.count == len(l.rows) { // the first piece
		t.AppendHeader(header)
	}
	t.AppendRows(l.rows)
	l.rows = nil
	var out strings.Builder
	for line := range strings.Lines(t.Render() + "\n") {
		out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	_, err := io.WriteString(l.w, out.String())
	return err
}

// close prints what is left.
func (l *list) close() error {
	switch {
	case l.format == FormatJSON && l.count == 0:
		_, err := io.WriteString(l.w, "[]\n")
		return err
	case l.format == FormatJSON:
		_, err := io.WriteString(l.w, "\n]\n")
		return err
	default:
		return l.flush()
	}
}

// printable makes text from elsewhere fit for a terminal: what would move its cursor or change its colours is shown as
// a code.
func printable(s string) string {
	clean := utf8.ValidString(s)
	for _, r := range s {
		clean = clean && (r == '\n' || unicode.IsPrint(r))
	}
	if clean {
		return s
	}
	var out strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&out, `\x%02x`, r)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}

// when prints a time and how far away it is.
func (p *printer) when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stamp(t) + " (" + distance(t.Sub(p.now())) + ")"
}

// stamp prints a time in UTC with milliseconds.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// distance says how far away a time is, in the largest units that say something.
func distance(d time.Duration) string {
	past := d < 0
	if past {
		d = -d
	}
	var out string
	switch {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		out = d.Round(time.Second / 10).String()
	case d < time.Hour:
		out = compact(d.Round(time.Second))
	case d < 48*time.Hour:
		out = compact(d.Round(time.Minute))
	default:
		out = fmt.Sprintf("%d days", int64((d+12*time.Hour)/(24*time.Hour)))
	}
	if past {
		return out + " ago"
	}
	return "in " + out
}

// compact prints a duration without the units that are zero: 1h and not 1h0m0s.
func compact(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
