package storetest

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The flags of a record that the checks look at.
const (
	flagDead  = 1 << 0
	flagApart = 1 << 1
	flagNamed = 1 << 2
)

const windowMillis = int64(time.Hour / time.Millisecond)

// record is the header of a record, as store/lua/common.lua describes it.
type record struct {
	version     int64
	ref         int64
	incarnation int64
	segment     int64
	flags       byte
	due         int64
	attempts    int64
	client      string
}

func (r *record) is(flag byte) bool { return r.flags&flag != 0 }

// integer reads a big-endian integer.
func integer(b string) int64 {
	var n int64
	for _, c := range []byte(b) {
		n = n<<8 | int64(c)
	}
	return n
}

func parseRecord(raw string) (*record, error) {
	const fixed = 28
	if len(raw) < fixed {
		return nil, fmt.Errorf("%d bytes are too short for a record", len(raw))
	}
	end := fixed + int(raw[fixed-1])
	r := &record{
		version: integer(raw[0:6]), ref: integer(raw[6:9]), incarnation: integer(raw[9:15]), segment: integer(raw[15:18]),
		flags: raw[18], due: integer(raw[19:25]), attempts: integer(raw[25:27]),
	}
	need := end
	if r.is(flagNamed) {
		need += 8
	}
	if len(raw) < need {
		return nil, fmt.Errorf("%d bytes are too short for a record with a client id of %d", len(raw), raw[fixed-1])
	}
	r.client = raw[fixed:end]
	return r, nil
}

// claim is what the inflight hash holds of a timer.
type claim struct {
	version  int64
	deadline int64
	token    string
}

func parseClaim(raw string) (*claim, error) {
	if len(raw) <= 12 {
		return nil, fmt.Errorf("%d bytes are too short for a claim", len(raw))
	}
	return &claim{version: integer(raw[0:6]), deadline: integer(raw[6:12]), token: raw[12:]}, nil
}

// slotPrefix is what the keys of a slot begin with.
func slotPrefix(group string, slot int) string {
	return "carillon:{" + group + ":" + strconv.Itoa(slot) + "}:"
}

func groupPrefix(group string) string { return "carillon:{" + group + "}:" }

// segmentOf reads the number behind a prefix such as "s" or "c".
func segmentOf(field, prefix string) (int64, bool) {
	text, found := strings.CutPrefix(field, prefix)
	n, err := strconv.ParseInt(text, 10, 64)
	return n, found && err == nil
}

// hexOf prints the raw bytes of a unique.
func hexOf(unique string) string { return fmt.Sprintf("%x", unique) }
