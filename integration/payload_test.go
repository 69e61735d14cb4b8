package integration_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/integration/harness"
	"github.com/carillon-io/carillon/starter"
	"github.com/carillon-io/carillon/store"
)

// sealed is a codec that encrypts whole payloads, as users of Temporal have one.
type sealed struct{ aead cipher.AEAD }

func newSealed(t *testing.T) sealed {
	t.Helper()
	key := make([]byte, 32)
	_, err := rand.Read(key)
	require.NoError(t, err)
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(t, err)
	return sealed{aead: aead}
}

func (c sealed) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, err
		}
		nonce := make([]byte, c.aead.NonceSize())
		if _, err := rand.Read(nonce); err != nil {
			return nil, err
		}
		out[i] = &commonpb.Payload{
			Metadata: map[string][]byte{"encoding": []byte("binary/encrypted"), "key-id": []byte("test")},
			Data:     c.aead.Seal(nonce, nonce, plain, nil),
		}
	}
	return out, nil
}

func (c sealed) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		if string(p.Metadata["encoding"]) != "binary/encrypted" {
			out[i] = p
			continue
		}
		n := c.aead.NonceSize()
		if len(p.Data) < n {
			return nil, errors.New("too short")
		}
		plain, err := c.aead.Open(nil, p.Data[:n], p.Data[n:], nil)
		if err != nil {
			return nil, err
		}
		out[i] = &commonpb.Payload{}
		if err := proto.Unmarshal(plain, out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// What a client has encrypted arrives as it was, and Redis never holds the clear text: neither of the payload, nor of one that
// is kept apart because it is large.
func TestEncryptedPayloadsArriveAsTheyWere(t *testing.T) {
	const secret = "the secret of the bells"
	codec := converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), newSealed(t))
	g := harness.NewGroup(t, store.Options{Slots: 2}, starter.Options{DataConverter: codec})
	encrypted := harness.Dial(t, client.Options{DataConverter: codec})
	w := g.StartWorker(t, nil)
	harness.WaitForTasks(t, w, 4)

	got := make(chan string, 10)
	queue := g.Name + "-receivers"
	users := sdkworker.New(encrypted, queue, sdkworker.Options{})
	users.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		var text string
		workflow.GetSignalChannel(ctx, harness.SignalName).Receive(ctx, &text)
		got <- "signal:" + text
		return nil
	}, workflow.RegisterOptions{Name: "signalled"})
	users.RegisterWorkflowWithOptions(func(_ workflow.Context, text string) error {
		got <- "start:" + text
		return nil
	}, workflow.RegisterOptions{Name: "started"})
	require.NoError(t, users.Start())
	t.Cleanup(users.Stop)
	_, err := encrypted.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: g.Name, TaskQueue: queue}, "signalled")
	require.NoError(t, err)

	large := secret + strings.Repeat(".", 100_000)
	due := g.Store.Clock(0).Now().Add(3 * time.Second)
	specs := []carillon.TimerSpec{
		{ClientID: "client", FireAt: due, Payload: payload(t, g, secret), Target: carillon.ToSignal(g.Name, harness.SignalName)},
		{ClientID: "client", FireAt: due, Payload: payload(t, g, large), Target: carillon.ToStart("started", queue)},
		{ClientID: "client", FireAt: due, Payload: payload(t, g, secret), Target: carillon.ToMailbox()},
		{ClientID: "client", FireAt: due, Payload: payload(t, g, large), Target: carillon.ToMailbox()},
	}
	results, err := g.Timers.CreateAll(t.Context(), specs)
	require.NoError(t, err)
	for _, r := range results {
		require.Nil(t, r.Error)
	}
	info, err := g.Timers.Describe(t.Context(), carillon.TimerRef{TimerID: results[1].TimerID})
	require.NoError(t, err)
	var described string
	require.NoError(t, g.Timers.Value(info.Payload, &described))
	require.Equal(t, large, described)
	held := everythingIn(t, g)
	require.Contains(t, held, "binary/encrypted")
	require.NotContains(t, held, secret)

	arrived := []string{<-got, <-got}
	require.ElementsMatch(t, []string{"signal:" + secret, "start:" + large}, arrived)

	box, err := g.Store.Mailbox(t.Context(), "client", "test")
	require.NoError(t, err)
	var texts []string
	for len(texts) < 2 {
		messages, err := box.Read(t.Context(), "reader", 10, time.Second)
		require.NoError(t, err)
		require.NotContains(t, everythingIn(t, g), secret)
		for _, m := range messages {
			require.True(t, proto.Equal(m.Timer.Payload, specs[2].Payload) || proto.Equal(m.Timer.Payload, specs[3].Payload),
				"byte for byte what was sent")
			var text string
			require.NoError(t, g.Timers.Value(m.Timer.Payload, &text))
			texts = append(texts, text)
		}
		require.NoError(t, box.Ack(t.Context(), messages...))
	}
	require.ElementsMatch(t, []string{secret, large}, texts)
	harness.Eventually(t, "all is done", func() bool {
		c, err := g.Direct.Count(t.Context(), carillon.CountTimersInput{})
		return err == nil && c.Fired == 4
	})
}

func payload(t *testing.T, g *harness.Group, value any) *commonpb.Payload {
	t.Helper()
	p, err := g.Timers.Payload(value)
	require.NoError(t, err)
	return p
}

// everythingIn is all that Redis holds of a group, as one text.
func everythingIn(t *testing.T, g *harness.Group) string {
	t.Helper()
	ctx := t.Context()
	var out bytes.Buffer
	keys := g.Redis.Scan(ctx, 0, "carillon:{"+g.Name+"*", 1000).Iterator()
	for keys.Next(ctx) {
		key := keys.Val()
		out.WriteString(key)
		kind, err := g.Redis.Type(ctx, key).Result()
		require.NoError(t, err)
		switch kind {
		case "hash":
			fields, err := g.Redis.HGetAll(ctx, key).Result()
			require.NoError(t, err)
			for name, value := range fields {
				out.WriteString(name + value)
			}
		case "stream":
			entries, err := g.Redis.XRange(ctx, key, "-", "+").Result()
			require.NoError(t, err)
			for _, e := range entries {
				for _, value := range e.Values {
					text, _ := value.(string)
					out.WriteString(text)
				}
			}
		case "string":
			value, err := g.Redis.Get(ctx, key).Result()
			if !errors.Is(err, redis.Nil) { // it may have expired
				require.NoError(t, err)
			}
			out.WriteString(value)
		case "zset":
			members, err := g.Redis.ZRange(ctx, key, 0, -1).Result()
			require.NoError(t, err)
			out.WriteString(strings.Join(members, ""))
		case "none":
		default:
			require.Failf(t, "unknown type", "%s is a %s", key, kind)
		}
	}
	require.NoError(t, keys.Err())
	return out.String()
}
