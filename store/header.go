package store

import (
	"encoding/binary"
	"fmt"

	"github.com/carillon-io/carillon"
)

// The layout of a record is described in lua/common.lua, which reads it too: a header of fixed length, the client id, and
// the record's protobuf.
const (
	flagDead    = 1 << 0 // given up; waits to be redriven
	flagApart   = 1 << 1 // the payload lies in body
	flagNamed   = 1 << 2 // a content hash follows the client id
	flagMailbox = 1 << 3 // the target is a mailbox: nobody has to decode the record
	flagStray   = 1 << 4 // until when a delivery of an earlier holder may arrive follows the content hash

	headerSize  = 28 // up to the client id, with its length
	contentSize = 8
	straySize   = 6

	// bodyThreshold is the largest payload that lies in the record itself: scripts copy records to look at their header.
	bodyThreshold = 1 << 10
)

func get48(b string) int64 {
	_ = b[5]
	return int64(b[0])<<40 | int64(b[1])<<32 | int64(b[2])<<24 | int64(b[3])<<16 | int64(b[4])<<8 | int64(b[5])
}

func append48(b []byte, v int64) []byte {
	return append(b, byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

func get24(b string) uint32 {
	_ = b[2]
	return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
}

func append24(b []byte, v uint32) []byte { return append(b, byte(v>>16), byte(v>>8), byte(v)) }

func append16(b []byte, v int) []byte { return binary.BigEndian.AppendUint16(b, uint16(v)) }

func get16(b string) int { return int(b[0])<<8 | int(b[1]) }

// header is what scripts read of a record.
type header struct {
	version     int64
	ref         uint32
	incarnation int64
	segment     int
	flags       byte
	due         int64 // ms
	attempts    int
	clientID    string
	hash        []byte // content hash, of named timers
	record      string // the protobuf
}

func parseHeader(raw string) (header, error) {
	if len(raw) < headerSize || len(raw) < headerSize+int(raw[27]) {
		return header{}, fmt.Errorf("a record of %d bytes is too short", len(raw))
	}
	h := header{
		version: get48(raw), ref: get24(raw[6:]), incarnation: get48(raw[9:]), segment: int(get24(raw[15:])), flags: raw[18],
		due: get48(raw[19:]), attempts: get16(raw[25:]), clientID: raw[headerSize : headerSize+int(raw[27])],
	}
	at := headerSize + int(raw[27])
	if h.is(flagNamed) {
		if len(raw) < at+contentSize {
			return header{}, fmt.Errorf("a record of %d bytes is too short", len(raw))
		}
		h.hash = []byte(raw[at : at+contentSize])
		at += contentSize
	}
	if h.is(flagStray) {
		at += straySize
	}
	if len(raw) < at {
		return header{}, fmt.Errorf("a record of %d bytes is too short", len(raw))
	}
	h.record = raw[at:]
	return h, nil
}

func (h *header) is(flag byte) bool { return h.flags&flag != 0 }

// decode reads the record's protobuf.
func (h *header) decode() (r carillon.Record, err error) {
	if err := r.UnmarshalBinary([]byte(h.record)); err != nil {
		return r, fmt.Errorf("record of client %q: %w", h.clientID, err)
	}
	return r, nil
}

// content is what follows the flags of a record: what a client chose, but for the times.
type content struct {
	flags  byte
	client string
	hash   []byte // of named timers
	record []byte
	apart  []byte // the payload, where it lies apart
}

// appendTail appends the part of a new record that a script does not fill in: from the segment on.
func (c *content) appendTail(b []byte, segment int, due int64) []byte {
	b = append24(b, uint32(segment))
	b = append(b, c.flags)
	b = append48(b, due)
	b = append16(b, 0)
	return c.appendClient(b)
}

func (c *content) appendClient(b []byte) []byte {
	b = append(b, byte(len(c.client)))
	b = append(b, c.client...)
	b = append(b, c.hash...)
	return append(b, c.record...)
}
