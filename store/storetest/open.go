package storetest

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

var openCases = []testCase{
	{"the same group again", store.Options{Slots: 4}, func(f *fixture) {
		id := f.create(f.spec(time.Hour)).TimerID
		o := f.options
		o.Slots = 0 // what it was founded with
		again, err := store.Open(f.Context(), f.redis, o)
		require.NoError(f, err)
		require.Equal(f, 4, again.Slots())
		require.Equal(f, f.Group(), again.Group())
		_, err = again.Describe(f.Context(), carillon.DescribeTimerInput{TimerRef: byID(id)})
		require.NoError(f, err)
		require.NoError(f, again.Close())
	}},
	{"another number of slots", store.Options{Slots: 4}, func(f *fixture) {
		o := f.options
		o.Slots = 8
		f.refused(o, "slots")
	}},
	{"another number of the store", store.Options{}, func(f *fixture) {
		o := f.options
		o.Number = 3
		f.refused(o, "store")
	}},
	{"another schema", store.Options{}, func(f *fixture) {
		require.NoError(f, f.redis.HSet(f.Context(), groupPrefix(f.Group())+"meta", "schema", 99).Err())
		f.refused(f.options, "schema")
	}},
	{"bad options", store.Options{}, func(f *fixture) {
		for field, change := range map[string]func(*store.Options){
			"group":             func(o *store.Options) { o.Group = "a b" },
			"slots":             func(o *store.Options) { o.Slots = 3 },
			"store":             func(o *store.Options) { o.Number = -1 },
			"look_ahead":        func(o *store.Options) { o.LookAhead = -1 },
			"lane_ttl":          func(o *store.Options) { o.LaneTTL = -1 },
			"mailbox_retention": func(o *store.Options) { o.MailboxRetention = -1 },
			"queue_limit":       func(o *store.Options) { o.QueueLimit = -1 },
			"mailbox_limit":     func(o *store.Options) { o.MailboxLimit = -1 },
		} {
			o := f.options
			change(&o)
			f.refused(o, field)
		}
		o := f.options
		o.Slots = 2 * carillon.MaxSlots
		f.refused(o, "slots")
	}},
	{"scripts that Redis has forgotten", store.Options{}, func(f *fixture) {
		require.NoError(f, f.redis.ScriptFlush(f.Context()).Err())
		f.create(f.spec(time.Hour))
	}},
	{"a slot that Redis has lost", store.Options{}, func(f *fixture) {
		l := f.lane()
		sweep := f.sweeper()
		require.NoError(f, f.redis.Del(f.Context(), f.key("seg"), f.key("fire")).Err())
		_, err := f.Read(f.Context(), l.id, l.token, "", 10)
		require.Error(f, err)
		l.read()
		sweep(10)
		f.create(f.spec(time.Hour))

		require.NoError(f, f.cancelAll())
		require.NoError(f, f.redis.Del(f.Context(), f.key("seg"), f.key("fire")).Err())
		f.create(f.spec(time.Hour))

		require.NoError(f, f.cancelAll())
		require.NoError(f, f.redis.Del(f.Context(), f.key("seg"), f.key("fire")).Err())
		_, err = f.OpenSegment(f.Context(), 0, 0)
		require.ErrorIs(f, err, carillon.ErrUnavailable)
		f.openSegment(0, 1)
	}},
	{"a context that has ended", store.Options{}, func(f *fixture) {
		ctx, cancel := context.WithCancel(f.Context())
		cancel()
		_, err := f.Create(ctx, carillon.CreateTimersInput{Timers: []carillon.TimerSpec{f.spec(time.Hour)}})
		require.ErrorIs(f, err, context.Canceled)
	}},
}

// refused expects that a store is not opened.
func (f *fixture) refused(o store.Options, field string) {
	f.Helper()
	_, err := store.Open(f.Context(), f.redis, o)
	require.ErrorIs(f, err, carillon.ErrInvalidArgument)
	require.Equal(f, field, carillon.AsError(err).Field)
	require.NotEmpty(f, carillon.AsError(err).Message)
}

// cancelAll cancels all that a listing brings.
func (f *fixture) cancelAll() error {
	f.Helper()
	in := carillon.CancelTimersInput{}
	for id := range f.listAll(carillon.ListTimersInput{}) {
		in.Timers = append(in.Timers, byID(id))
	}
	_, err := f.Cancel(f.Context(), in)
	return err
}
