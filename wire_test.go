package carillon

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"
)

var (
	testID   = NewID(0, 7, Unique{1, 2, 3})
	testTime = time.Date(2030, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
)

func plainPayload(data string) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(data)}
}

func encodedPayload() *commonpb.Payload {
	return &commonpb.Payload{
		Metadata: map[string][]byte{"encoding": []byte("binary/encrypted"), "key": {0, 255}}, Data: []byte{0, 1, 255},
	}
}

// sampleSpecs are timers with every field set, and every kind of target and of payload.
func sampleSpecs() []TimerSpec {
	base := TimerSpec{
		ClientID: "shop", Name: "order-7", FireAt: testTime, Target: ToMailbox(), Payload: plainPayload(`{"a":[1,null]}`),
		Retry:  &RetryPolicy{Duration(time.Second), 1.5, Duration(time.Minute), 7},
		Labels: map[string]string{"k": "v", "é": ""}, OnConflict: ConflictReplace,
	}
	signal, start, webhook, delay := base, base, base, base
	least := TimerSpec{ClientID: "c", Delay: time.Second, Target: ToMailbox()}
	signal.Target = Target{Signal: &SignalTarget{Namespace: "n", WorkflowID: "w", RunID: "r", SignalName: "s"}}
	signal.Payload = encodedPayload()
	start.Target = Target{Start: &StartTarget{
		Namespace: "n", WorkflowID: "w", WorkflowType: "t", TaskQueue: "q", ExecutionTimeout: Duration(time.Hour),
		RunTimeout: Duration(time.Minute),
	}}
	start.Payload = plainPayload(" {\"white\":  \"space\"}\n")
	webhook.Target = Target{Webhook: &WebhookTarget{
		URL: "https://host/p", Headers: map[string]string{"X-A": "b"}, Timeout: Duration(3 * time.Second),
	}}
	webhook.Payload = plainPayload(`"<&>"`)
	delay.FireAt, delay.Delay, delay.Payload = time.Time{}, 90*time.Second, nil
	return []TimerSpec{base, signal, start, webhook, delay, least}
}

// withoutEmptyMaps makes maps nil that hold nothing: on the way they mean the same.
func withoutEmptyMaps(s TimerSpec) TimerSpec {
	if len(s.Labels) == 0 {
		s.Labels = nil
	}
	if w := s.Target.Webhook; w != nil && len(w.Headers) == 0 {
		s.Target.Webhook = &WebhookTarget{URL: w.URL, Timeout: w.Timeout}
	}
	return s
}

func requireSpecs(t *testing.T, want, got []TimerSpec) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		w, g := withoutEmptyMaps(want[i]), withoutEmptyMaps(got[i])
		require.True(t, proto.Equal(w.Payload, g.Payload), "%d: %v is not %v", i, g.Payload, w.Payload)
		w.Payload, g.Payload = nil, nil
		require.Equal(t, w, g, i)
	}
}

func throughJSON[T any](t *testing.T, in T) T {
	t.Helper()
	data, err := json.Marshal(in)
	require.NoError(t, err)
	var out T
	require.NoError(t, DecodeInput(data, &out), "%s", data)
	return out
}

func TestSpecJSON(t *testing.T) {
	t.Parallel()
	in := CreateTimersInput{RequestID: "r", Timers: sampleSpecs()}
	out := throughJSON(t, in)
	require.Equal(t, "r", out.RequestID)
	requireSpecs(t, in.Timers, out.Timers)
	for i := range out.Timers {
		alone := throughJSON(t, in.Timers[i])
		requireSpecs(t, in.Timers[i:i+1], []TimerSpec{alone})
	}
}

// The JSON is the contract with every language.
func TestSpecJSONStaysTheSame(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(sampleSpecs()[3:5])
	require.NoError(t, err)
	require.JSONEq(t, `[{
		"client_id": "shop", "name": "order-7", "fire_at": "2030-01-02T03:04:05.678Z",
		"target": {"webhook": {"url": "https://host/p", "headers": {"X-A": "b"}, "timeout": "3s"}},
		"retry": {"initial_interval": "1s", "backoff_coefficient": 1.5, "maximum_interval": "1m0s", "maximum_attempts": 7},
		"labels": {"k": "v", "é": ""}, "on_conflict": "replace",
		"encoded_payload": {"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "IjwmPiI="}
	}, {
		"client_id": "shop", "name": "order-7", "delay": "1m30s", "target": {"mailbox": {}},
		"retry": {"initial_interval": "1s", "backoff_coefficient": 1.5, "maximum_interval": "1m0s", "maximum_attempts": 7},
		"labels": {"k": "v", "é": ""}, "on_conflict": "replace"
	}]`, string(data))
}

func TestPayloadJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*commonpb.Payload{
		`{}`:                                      nil,
		`{"payload": {"a" : [1] } }`:              plainPayload(`{"a":[1]}`),
		`{"payload": "x"}`:                        plainPayload(`"x"`),
		`{"payload": 0}`:                          plainPayload(`0`),
		`{"payload": null}`:                       plainPayload(`null`),
		`{"payload": 12345678901234567890.123}`:   plainPayload(`12345678901234567890.123`),
		`{"encoded_payload": null}`:               nil,
		`{"encoded_payload": null, "payload": 1}`: plainPayload(`1`),
		`{"encoded_payload": {
			"metadata": {"encoding": "YmluYXJ5L2VuY3J5cHRlZA==", "key": "AP8="}, "data": "AAH/"
		}}`: encodedPayload(),
	} {
		var s TimerSpec
		require.NoError(t, json.Unmarshal([]byte(text), &s), text)
		require.True(t, proto.Equal(want, s.Payload), "%s: %v", text, s.Payload)
	}
	for text, field := range map[string]string{
		`{"payload": 1, "encoded_payload": {}}`:        "payload",
		`{"encoded_payload": {"data": "no base64 !"}}`: "encoded_payload",
		`{"encoded_payload": {"dta": ""}}`:             "encoded_payload",
		`{"encoded_payload": 7}`:                       "encoded_payload",
	} {
		var s TimerSpec
		err := json.Unmarshal([]byte(text), &s)
		require.ErrorIs(t, err, ErrInvalidArgument, text)
		require.Equal(t, field, AsError(err).Field, text)
	}
}

func TestInputsJSON(t *testing.T) {
	t.Parallel()
	refs := []TimerRef{{TimerID: testID}, {ClientID: "c", Name: "n"}}
	cancel := CancelTimersInput{RequestID: "r", Timers: refs}
	require.Equal(t, cancel, throughJSON(t, cancel))
	redrive := RedriveTimersInput{RequestID: "r", Timers: refs}
	require.Equal(t, redrive, throughJSON(t, redrive))
	describe := DescribeTimerInput{TimerRef: refs[1]}
	require.Equal(t, describe, throughJSON(t, describe))
	list := ListTimersInput{
		ClientID: "c", States: []State{StateDead}, DueFrom: testTime, DueBefore: testTime.Add(1), PageSize: 7, Cursor: "x",
	}
	require.Equal(t, list, throughJSON(t, list))
	require.Equal(t, ListTimersInput{}, throughJSON(t, ListTimersInput{}))
	count := CountTimersInput{ClientID: "c"}
	require.Equal(t, count, throughJSON(t, count))
	require.Equal(t, ListPartitionsInput{}, throughJSON(t, ListPartitionsInput{}))

	for _, payload := range []*commonpb.Payload{nil, plainPayload(`1`), plainPayload(` 1`), encodedPayload()} {
		for _, in := range []RescheduleTimerInput{
			{RequestID: "r", TimerRef: refs[0], FireAt: testTime, ExpectedVersion: 9, Payload: payload},
			{TimerRef: refs[1], Delay: time.Minute, Payload: payload},
		} {
			out := throughJSON(t, in)
			require.True(t, proto.Equal(payload, out.Payload))
			in.Payload, out.Payload = nil, nil
			require.Equal(t, in, out)
		}
	}
}

func TestResultsJSON(t *testing.T) {
	t.Parallel()
	failed := InvalidArgument("payload", "too large")
	create := CreateTimersResult{Timers: []CreateResult{
		{TimerID: testID, Version: 7, FireAt: testTime, Existing: true}, {Error: failed},
	}}
	require.Equal(t, create, throughJSON(t, create))
	cancel := CancelTimersResult{Timers: []CancelResult{{TimerID: testID}, {Error: failed}}}
	require.Equal(t, cancel, throughJSON(t, cancel))
	reschedule := RescheduleTimerResult{TimerID: testID, Version: 7, FireAt: testTime}
	require.Equal(t, reschedule, throughJSON(t, reschedule))
	redrive := RedriveTimersResult(create)
	require.Equal(t, redrive, throughJSON(t, redrive))
	count := CountTimersResult{1, 2, 3, 4, 5, 6, 7}
	require.Equal(t, count, throughJSON(t, count))
	partitions := ListPartitionsResult{
		Partitions: []PartitionInfo{{1, 2, 3, "open", 4, testTime, "s", testTime, "w", testTime, "v"}, {Slot: 1}},
		Lanes:      []LaneInfo{{1, 2, 3, 4, 5, "h", testTime, "w", testTime, "v"}},
	}
	require.Equal(t, partitions, throughJSON(t, partitions))

	full := TimerInfo{
		TimerID: testID, ClientID: "c", Name: "n", State: StateDead, Version: 9, FireAt: testTime, CreatedAt: testTime,
		Target: ToSignal("w", "s"), Retry: &RetryPolicy{MaximumAttempts: 3}, Labels: map[string]string{"k": "v"},
		Attempts: 3, LastError: "no", DoneAt: testTime,
	}
	list := ListTimersResult{Timers: []TimerInfo{full, {TimerID: testID, State: StateFired}}, NextCursor: "x"}
	require.Equal(t, list, throughJSON(t, list))
	describe := DescribeTimerResult{Timer: full}
	describe.Timer.Payload = encodedPayload()
	out := throughJSON(t, describe)
	require.True(t, proto.Equal(describe.Timer.Payload, out.Timer.Payload))

	data, err := json.Marshal(TimerInfo{
		TimerID: testID, ClientID: "c", State: StatePending, Payload: plainPayload(`{"a": "<"}`),
	})
	require.NoError(t, err)
	require.JSONEq(t, `{
		"timer_id": "`+testID.String()+`", "client_id": "c", "state": "pending", "version": 0, "payload": {"a": "<"}
	}`, string(data), "people read it")

	var newer TimerInfo
	require.NoError(t, json.Unmarshal([]byte(`{"client_id":"c","said_by_a_newer_worker":1}`), &newer))
	require.Equal(t, "c", newer.ClientID)
}

func TestDecodeInputRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, data  string
		input       any
		field, says string
	}{
		{"nothing", ``, &CountTimersInput{}, "", "not JSON"},
		{"no JSON", `{`, &CountTimersInput{}, "", "not JSON"},
		{"two values", `{}{}`, &CountTimersInput{}, "", "behind the JSON value"},
		{"something behind", `{} x`, &CountTimersInput{}, "", "behind the JSON value"},
		{"array", `[]`, &CountTimersInput{}, "", "a JSON array does not fit here"},
		{"unknown field", `{"clientid_": "c"}`, &CountTimersInput{}, "clientid_", "no such field"},
		{"type", `{"client_id": 7}`, &CountTimersInput{}, "client_id", "a JSON number does not fit"},
		{"batch of none", `{"timers": {}}`, &CreateTimersInput{}, "timers", "a JSON object does not fit"},
		{"field beside a batch", `{"timers": [], "request": "x"}`, &CreateTimersInput{}, "request", "no such field"},
		{"id", `{"timer_id": "nonsense"}`, &DescribeTimerInput{}, "timer_id", "8 characters"},
		{"reference", `{"timer_id": 7}`, &DescribeTimerInput{}, "timer_id", "a JSON number does not fit"},
		{"time", `{"due_from": "tomorrow"}`, &ListTimersInput{}, "due_from", "write one like"},
		{"number as time", `{"due_before": 7}`, &ListTimersInput{}, "due_before", "write one like"},
		{"fraction", `{"page_size": 1.5}`, &ListTimersInput{}, "page_size", "does not fit"},
		{"item", `{"states": ["due", 7]}`, &ListTimersInput{}, "states[1]", "does not fit"},
		{"reschedule, field", `{"fireat": "x"}`, &RescheduleTimerInput{}, "fireat", "no such field"},
		{"reschedule, delay", `{"delay": 90}`, &RescheduleTimerInput{}, "delay", `a string like "1m30s", not 90`},
		{"reschedule, embedded", `{"name": {}}`, &RescheduleTimerInput{}, "name", "does not fit"},
		{"long field", `{"` + strings.Repeat("é", 1000) + `": 1}`, &CountTimersInput{}, "", "no such field"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := DecodeInput([]byte(test.data), test.input)
			require.ErrorIs(t, err, ErrInvalidArgument)
			require.ErrorContains(t, err, test.says)
			if test.name != "long field" {
				require.Equal(t, test.field, AsError(err).Field)
			}
			require.Less(t, len(err.Error()), 400)
		})
	}
}

func TestResultRefused(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		`{"pending": "many"}`: "InvalidArgument: pending: a JSON string does not fit here",
		`{`:                   "this is not the JSON that belongs here",
	} {
		var r CountTimersResult
		require.ErrorContains(t, ResultFromPayload(plainPayload(text), &r), says)
	}
	var r CreateTimersResult
	require.ErrorContains(t, ResultFromPayload(plainPayload(`{"timers": [{"timer_id": "x"}]}`), &r), "1 characters")
}

func TestSpecJSONNamesTheField(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ data, field, says string }{
		{`{"clientid": "c"}`, "clientid", "no such field"},
		{`{"fire_at": "tomorrow"}`, "fire_at", "write one like"},
		{`{"delay": "soon"}`, "delay", "no duration"},
		{`{"delay": 90}`, "delay", `a string like "1m30s", not 90`},
		{`{"target": {"email": {}}}`, "target.email", "no such field"},
		{`{"target": {"webhook": {"uri": "x"}}}`, "target.webhook.uri", "no such field"},
		{`{"target": {"webhook": {"headers": {"a": 7}}}}`, "target.webhook.headers.a", "does not fit"},
		{`{"target": {"webhook": {"timeout": "long"}}}`, "target.webhook.timeout", "no duration"},
		{`{"target": {"mailbox": {"size": 1}}}`, "target.mailbox.size", "no such field"},
		{`{"target": "mailbox"}`, "target", "a JSON string does not fit"},
		{`{"retry": {"maximum_attempts": "many"}}`, "retry.maximum_attempts", "does not fit"},
		{`{"retry": {"initial_interval": 1}}`, "retry.initial_interval", "a duration is a string"},
		{`{"retry": {"maximum_attempts": 1e400}}`, "retry.maximum_attempts", "does not fit"},
		{`{"labels": ["a"]}`, "labels", "a JSON array does not fit"},
		{`{"payload": 1, "encoded_payload": {}}`, "payload", "not both"},
		{`7`, "", "a JSON number does not fit"},
	} {
		var alone TimerSpec
		err := json.Unmarshal([]byte(test.data), &alone)
		require.ErrorIs(t, err, ErrInvalidArgument, test.data)
		require.Equal(t, test.field, AsError(err).Field, test.data)
		require.ErrorContains(t, err, test.says)

		// In a batch it spoils no other, nor the order.
		var batch CreateTimersInput
		good := `{"client_id": "c", "delay": "1s", "target": {"mailbox": {}}}`
		require.NoError(t, DecodeInput([]byte(`{"timers": [`+good+`,`+test.data+`,`+good+`]}`), &batch), test.data)
		require.Len(t, batch.Timers, 3)
		require.NoError(t, batch.Timers[0].Validate(testNow))
		require.Equal(t, err.Error(), batch.Timers[1].Validate(testNow).Error())
		require.NoError(t, batch.Timers[2].Validate(testNow))
	}
}

func TestRefsJSONOfABatch(t *testing.T) {
	t.Parallel()
	data := `{"timers": [{"timer_id": "` + testID.String() + `"}, {"timer_id": "nonsense"}, {"id": "x"}, 7, null]}`
	var cancel CancelTimersInput
	require.NoError(t, DecodeInput([]byte(data), &cancel))
	var redrive RedriveTimersInput
	require.NoError(t, DecodeInput([]byte(data), &redrive))
	for _, refs := range [][]TimerRef{cancel.Timers, redrive.Timers} {
		require.Len(t, refs, 5)
		require.NoError(t, refs[0].Validate())
		for i, says := range []string{"8 characters", "id: there is no such field", "a JSON number", "name the timer by"} {
			err := refs[1+i].Validate()
			require.ErrorIs(t, err, ErrInvalidArgument)
			require.ErrorContains(t, err, says)
		}
	}
}

// Every input and result has names in snake case.
func TestJSONNames(t *testing.T) {
	t.Parallel()
	var check func(path string, typ reflect.Type)
	check = func(path string, typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || readsItself(typ) {
			return
		}
		for name, field := range jsonFields(typ) {
			require.Regexp(t, `^[a-z][a-z_]*$`, name, path)
			check(path+"."+name, field)
		}
		for i := range typ.NumField() {
			f := typ.Field(i)
			require.True(t, f.Anonymous || !f.IsExported() || f.Tag.Get("json") != "", "%s.%s has no JSON name", path, f.Name)
		}
	}
	for _, v := range []any{
		timerSpecJSON{},
		batchJSON{},
		rescheduleJSON{},
		timerInfoJSON{},
		CreateTimersResult{},
		CancelTimersResult{},
		RescheduleTimerResult{},
		DescribeTimerInput{},
		ListTimersInput{},
		ListTimersResult{},
		CountTimersInput{},
		CountTimersResult{},
		RedriveTimersResult{},
		ListPartitionsInput{},
		ListPartitionsResult{},
	} {
		check(reflect.TypeOf(v).Name(), reflect.TypeOf(v))
	}
}

func TestNamesOfQueues(t *testing.T) {
	t.Parallel()
	require.Equal(t, "carillon.g", TaskQueue("g"))
	require.Equal(t, "carillon.g.w", WorkerTaskQueue("g", "w"))
	for _, good := range []string{"a", "Default", "a.b_c-9", strings.Repeat("x", 64)} {
		require.NoError(t, CheckGroup(good))
	}
	for _, bad := range []string{"", strings.Repeat("x", 65), "a b", "a/b", "a:b", "{a}", "é", "a\x00", "\xff"} {
		err := CheckGroup(bad)
		require.ErrorIs(t, err, ErrInvalidArgument, bad)
		require.Equal(t, "group", AsError(err).Field)
	}
}

func FuzzCreateTimersJSON(f *testing.F) {
	for _, s := range sampleSpecs() {
		data, err := json.Marshal(CreateTimersInput{RequestID: "r", Timers: []TimerSpec{s}})
		require.NoError(f, err)
		f.Add(data)
	}
	f.Add([]byte(`{"timers":[{"client_id":"c","clientid":1},null,7,{"payload":null,"encoded_payload":{"data":"AA=="}}]}`))
	f.Add([]byte(`{"timers":[{"target":{"webhook":{"headers":{"a":1}}},"retry":{"backoff_coefficient":1e300}}]} x`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var in CreateTimersInput
		if err := DecodeInput(data, &in); err != nil {
			require.ErrorIs(t, err, ErrInvalidArgument)
			return
		}
		readable := in.Timers[:0:0]
		for i := range in.Timers {
			err := in.Timers[i].Validate(testNow)
			require.True(t, err == nil || AsError(err).Type == TypeInvalidArgument, "%v", err)
			if in.Timers[i].invalid == nil {
				readable = append(readable, in.Timers[i])
			}
		}
		again, err := json.Marshal(CreateTimersInput{RequestID: in.RequestID, Timers: readable})
		if err != nil {
			return // a time or a text that was read cannot always be written: a year of five digits, for one
		}
		var back CreateTimersInput
		require.NoError(t, DecodeInput(again, &back))
		requireSpecs(t, readable, back.Timers)
	})
}
