package target

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of webhooks that are Carillon's own; the others come from the target. They are listed in the package's
// documentation.
const (
	headerKey        = "webhook-id"
	headerTimestamp  = "webhook-timestamp"
	headerTimerID    = "carillon-timer-id"
	headerClientID   = "carillon-client-id"
	headerTimerName  = "carillon-timer-name"
	headerFireAt     = "carillon-fire-at"
	headerAttempt    = "carillon-attempt"
	headerOccurrence = "carillon-occurrence"
)

const milliRFC3339 = "2006-01-02T15:04:05.000Z07:00"

// setHeaders sets Carillon's own headers.
func (d *Delivery) setHeaders(h http.Header) {
	at := d.At
	if at.IsZero() {
		at = time.Now()
	}
	h.Set(headerKey, d.Key())
	h.Set(headerTimestamp, strconv.FormatInt(at.Unix(), 10))
	h.Set(headerTimerID, d.TimerID.String())
	h.Set(headerClientID, headerText(d.ClientID))
	if d.Name != "" {
		h.Set(headerTimerName, headerText(d.Name))
	}
	h.Set(headerFireAt, d.FireAt.UTC().Format(milliRFC3339))
	h.Set(headerAttempt, strconv.Itoa(d.Attempt))
	if d.Occurrence > 0 {
		h.Set(headerOccurrence, strconv.FormatInt(d.Occurrence, 10))
	}
}

// headerText percent-encodes what a header cannot carry unharmed: all but printable ASCII, '%' itself, and spaces at
// the ends. Plain text stays as it is.
func headerText(text string) string {
	const hex = "0123456789ABCDEF"
	var out strings.Builder
	for i := range len(text) {
		c := text[i]
		edge := i == 0 || i == len(text)-1
		if c > ' ' && c < 0x7f && c != '%' || c == ' ' && !edge {
			out.WriteByte(c)
			continue
		}
		out.WriteByte('%')
		out.WriteByte(hex[c>>4])
		out.WriteByte(hex[c&15])
	}
	return out.String()
}
