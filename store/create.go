package store

import (
	"context"
	"crypto/sha256"
	"hash/fnv"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/internal/fault"
)

// created is the script's answer to one timer.
type created struct {
	status  byte // C: created; S, E: its name is taken, by the same or by other content
	unique  carillon.Unique
	version int64
	due     int64 // ms
}

// parseCreated reads the script's answer to n timers. It is false if the answer is to another number of them.
func parseCreated(answer string, n int) ([]created, bool) {
	const (
		all   = 1 + 6 // A, the first version
		brief = 9 + 6 // unique, due
		full  = 1 + 9 + 6 + 6
	)
	out := make([]created, n)
	switch {
	case len(answer) == all+n*brief && answer[0] == 'A':
		version := get48(answer[1:])
		for k := range out {
			a := answer[all+k*brief:]
			out[k] = created{'C', carillon.Unique([]byte(a[:9])), version + int64(k), get48(a[9:])}
		}
	case len(answer) == n*full:
		for k := range out {
			a := answer[k*full:]
			out[k] = created{a[0], carillon.Unique([]byte(a[1:10])), get48(a[10:]), get48(a[16:])}
		}
	default:
		return nil, false
	}
	return out, true
}

// Create implements Timers.
//
// The timers without a name go to one slot, chosen by a hash of the request id, so that the same request meets its own
// answer; a named timer goes to the slot of its name. Each slot's share is cut by position into script calls with request
// ids of their own.
func (s *Redis) Create(ctx context.Context, in carillon.CreateTimersInput) (carillon.CreateTimersResult, error) {
	if len(in.RequestID) > carillon.MaxRequestID {
		return carillon.CreateTimersResult{}, carillon.InvalidArgument("request_id", "it has %d bytes, the limit is %d",
			len(in.RequestID), carillon.MaxRequestID)
	}
	if in.RequestID == "" {
		in.RequestID = randomText(16)
	}
	out := carillon.CreateTimersResult{Timers: make([]carillon.CreateResult, len(in.Timers))}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, chunks := range s.planCreate(in, out.Timers) {
		g.Go(func() error {
			for _, c := range chunks { // in order: a name may stand in several of them
				if err := s.createChunk(gctx, c, in.Timers, out.Timers); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return carillon.CreateTimersResult{}, err
	}
	return out, nil
}

// createChunk is what one script call creates.
type createChunk struct {
	request string
	slot    *slot
	named   bool
	timers  []preparedTimer
	bytes   int
	names   map[carillon.Unique]bool
}

// preparedTimer is a timer of the input, ready to be stored.
type preparedTimer struct {
	position int // in the input
	unique   carillon.Unique
	due      int64
	content  content
}

func (c *createChunk) fits(size int, unique carillon.Unique) bool {
	return len(c.timers) < MaxScriptTimers && c.bytes+size <= maxScriptBytes && !(c.named && c.names[unique])
}

func (c *createChunk) add(t preparedTimer, size int) {
	c.timers = append(c.timers, t)
	c.bytes += size
	if c.named {
		c.names[t.unique] = true
	}
}

// planCreate says which script calls create the timers, for each slot in order. Timers that no store can take get their
// answer here. The plan is a function of the input alone, so that a repeated request is cut in the same way.
func (s *Redis) planCreate(in carillon.CreateTimersInput, answers []carillon.CreateResult) map[string][]*createChunk {
	plan := map[string][]*createChunk{}
	for i := range in.Timers {
		spec := &in.Timers[i]
		named := spec.Name != ""
		key := ""
		var unique carillon.Unique
		var sl *slot
		if named {
			var place uint64
			unique, place = carillon.Named(spec.ClientID, spec.Name)
			sl = s.slots[place%uint64(len(s.slots))]
			key = "n" + strconv.Itoa(sl.number)
		}
		now := s.now()
		if err := spec.Validate(now); err != nil {
			answers[i].Error = carillon.AsError(err)
			continue
		}
		prepared := preparedTimer{position: i, unique: unique}
		var err error
		if prepared.content, err = contentOf(spec, now); err != nil {
			answers[i].Error = carillon.AsError(err)
			continue
		}
		size := len(prepared.content.record) + len(prepared.content.apart) + headerSize + len(spec.ClientID)
		chunks := plan[key]
		if len(chunks) == 0 || !chunks[len(chunks)-1].fits(size, unique) {
			c := &createChunk{request: in.RequestID + "/" + key + "/" + strconv.Itoa(len(chunks)), slot: sl, named: named}
			if named {
				c.names = map[carillon.Unique]bool{}
			} else {
				c.slot = s.slots[hashOf(c.request)%uint64(len(s.slots))]
			}
			chunks = append(chunks, c)
			plan[key] = chunks
		}
		last := chunks[len(chunks)-1]
		prepared.due = spec.Due(last.slot.clock.Now())
		last.add(prepared, size)
	}
	return plan
}

func hashOf(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return h.Sum64()
}

// contentOf makes the stored form of what a client chose.
func contentOf(spec *carillon.TimerSpec, now time.Time) (content, error) {
	payload, err := carillon.MarshalPayload(spec.Payload)
	if err != nil {
		return content{}, err
	}
	record := carillon.Record{
		Name: spec.Name, CreatedAt: now, Target: spec.Target, Retry: spec.Retry, Labels: spec.Labels, Payload: payload,
	}
	c := content{client: spec.ClientID}
	if spec.Target.Mailbox != nil {
		c.flags |= flagMailbox
	}
	if spec.Name != "" {
		c.flags |= flagNamed
		if c.hash, err = contentHash(spec, record); err != nil {
			return content{}, err
		}
	}
	return c, c.setRecord(record)
}

// setRecord takes over the record. A payload that is large is put apart.
func (c *content) setRecord(record carillon.Record) (err error) {
	if len(record.Payload) > bodyThreshold {
		c.flags |= flagApart
		c.apart, record.PayloadSize, record.Payload = record.Payload, len(record.Payload), nil
	}
	c.record, err = record.MarshalBinary()
	return err
}

// contentHash tells whether a second create of a name asks for the same: everything that the client chose counts.
func contentHash(spec *carillon.TimerSpec, record carillon.Record) ([]byte, error) {
	record.CreatedAt = time.Time{}
	data, err := record.MarshalBinary()
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	h.Write(data)
	h.Write(append48(append48(nil, carillon.CeilMilli(spec.FireAt)), spec.Delay.Milliseconds()))
	return h.Sum(nil)[:contentSize], nil
}

// createChunk stores the timers of one script call and writes their answers.
func (s *Redis) createChunk(ctx context.Context, c *createChunk, specs []carillon.TimerSpec, answers []carillon.CreateResult) error {
	answer, err := s.callCreate(ctx, c)
	if err != nil {
		return err
	}
	for k, t := range c.timers {
		a := answer[k]
		spec, out := &specs[t.position], &answers[t.position]
		out.TimerID = carillon.NewID(s.options.Number, c.slot.number, a.unique)
		out.Version, out.FireAt = a.version, milli(a.due)
		if a.status == 'C' {
			continue
		}
		switch spec.OnConflict {
		case carillon.ConflictReplace:
			if err := s.replace(ctx, c.slot, c.request+"/"+strconv.Itoa(k), spec, t, out); err != nil {
				return err
			}
			continue
		case carillon.ConflictKeep:
			out.Existing = true
			continue
		case carillon.ConflictDefault:
			if a.status == 'S' {
				out.Existing = true
				continue
			}
		case carillon.ConflictReject:
		}
		*out = carillon.CreateResult{TimerID: out.TimerID, Error: carillon.Errorf(carillon.TypeAlreadyExists,
			"client %q has another pending timer named %q (%s): cancel or reschedule it, or say on_conflict", spec.ClientID, spec.Name, out.TimerID)}
	}
	return nil
}

// callCreate calls the script until the keys that it was given are the right ones.
func (s *Redis) callCreate(ctx context.Context, c *createChunk) ([]created, error) {
	sl := c.slot
	minted := false
	for {
		if !c.named && !minted {
			uniques, err := s.Mint(ctx, len(c.timers))
			if err != nil {
				return nil, err
			}
			for i := range c.timers {
				c.timers[i].unique = uniques[i]
			}
			minted = true
		}
		keys, args := c.arguments(&s.options, sl.openSegment())
		r, err := s.run(ctx, "create", s.scripts.create, sl.clock, keys, args)
		if err = fault.At(fault.CreateStored, err); err != nil {
			return nil, err
		}
		switch r.code {
		case "OK":
			answer, ok := parseCreated(r.text(), len(c.timers))
			if !ok {
				return nil, carillon.InvalidArgument("request_id", "it has been used for another input")
			}
			return answer, nil
		case "TAKEN":
			s.forgetHost()
			minted = false
		case "SEGMENT":
			if err := s.segmentMoved(ctx, sl, r); err != nil {
				return nil, err
			}
		}
	}
}

// arguments are the KEYS and ARGV of the script: see lua/create.lua.
func (c *createChunk) arguments(o *Options, segment int) (keys []string, args []any) {
	k, n := c.slot.keys, len(c.timers)
	w := newWindowKeys(k, segment)
	whos, dues, places := make([]byte, 0, 15*n), make([]byte, 0, dueDigits*n), make([]byte, 0, 2*n)
	size := 0
	for i := range c.timers {
		size += headerSize + contentSize + len(c.timers[i].content.client) + len(c.timers[i].content.record)
	}
	tails := make([]byte, 0, size) // one piece of memory for all of them
	per := make([]any, 0, n)
	earliest, client := c.timers[0].due, c.timers[0].content.client
	for i := range c.timers {
		t := &c.timers[i]
		whos = append48(append(whos, t.unique[:]...), t.due)
		dues = appendDigits(dues, t.due)
		places = append16(places, w.add(t.due))
		begin := len(tails)
		tails = t.content.appendTail(tails, segment, t.due)
		per = append(per, tails[begin:])
		if t.content.apart != nil {
			per = append(per, t.content.apart)
		}
		earliest = min(earliest, t.due)
		if client != t.content.client {
			client = "" // there are several
		}
	}
	keys = append([]string{
		k.request(c.request), k.rec, k.body, k.ver, k.seg, k.win(segment), k.fire, k.count, k.events, k.dead,
	}, w.keys...)
	args = append([]any{
		segment, o.LookAhead.Milliseconds(), o.QueueLimit, o.RequestTTL.Milliseconds(), o.EventLimit, len(w.starts), earliest,
		client, whos, dues, places,
	}, w.starts...)
	return keys, append(args, per...)
}

// dueDigits is how many digits every due time in milliseconds of 48 bits fits in.
const dueDigits = 15

// appendDigits appends a number in decimal, with leading zeros.
func appendDigits(b []byte, v int64) []byte {
	b = append(b, "000000000000000"...)
	for i := len(b) - 1; v > 0; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
	return b
}

// replace gives the pending timer of a name a new content and time. Should it be done meanwhile, it is created anew.
func (s *Redis) replace(ctx context.Context, sl *slot, request string, spec *carillon.TimerSpec, t preparedTimer, out *carillon.CreateResult) error {
	for try := range maxTries {
		version, due, err := s.change(ctx, sl, change{
			request: request + "/replace", unique: t.unique, id: out.TimerID, due: t.due, anew: true, content: &t.content,
		})
		switch {
		case err == nil:
			out.Version, out.FireAt = version, milli(due)
			return nil
		case !isType(err, carillon.TypeNotFound):
			if carillon.Retryable(err) {
				return err
			}
			*out = carillon.CreateResult{TimerID: out.TimerID, Error: carillon.AsError(err)}
			return nil
		}
		again := &createChunk{request: request + "/again/" + strconv.Itoa(try), slot: sl, named: true, timers: []preparedTimer{t}}
		answer, err := s.callCreate(ctx, again)
		if err != nil {
			return err
		}
		if answer[0].status == 'C' {
			out.Version, out.FireAt = answer[0].version, milli(answer[0].due)
			return nil
		}
	}
	return carillon.Errorf(carillon.TypeUnavailable, "the timer named %q changes too fast to be replaced: try again", spec.Name)
}

// maxTries bounds how often a change is tried anew because somebody else was faster.
const maxTries = 16

// windowKeys collects the due keys that a script call needs.
type windowKeys struct {
	slot    *slotKeys
	segment int
	at      map[int64]int
	keys    []string
	starts  []any
}

func newWindowKeys(k *slotKeys, segment int) *windowKeys {
	return &windowKeys{slot: k, segment: segment, at: map[int64]int{}}
}

// add gives the number of the window's key, 1 being the first.
func (w *windowKeys) add(due int64) int {
	start := windowOf(due)
	n, found := w.at[start]
	if !found {
		n = len(w.keys) + 1
		w.at[start] = n
		w.keys = append(w.keys, w.slot.due(w.segment, start))
		w.starts = append(w.starts, start)
	}
	return n
}

func milli(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
