package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"berth/access"
	"berth/store"
)

// Keys of what acquires, by the draft "The Idempotency-Key HTTP Header Field"
// (draft-ietf-httpapi-idempotency-key-header):
//
//	idempotency/<host>/<digest>      what a request with a key led to
//	idempotency/<host>/<digest>/<n>  part n of an answer that is too long for it
//
// They are written in the batch that does the work, so that of a request that is
// sent again, to the next daemon too, is known whether it was done.
const (
	keyFolder = "idempotency/local/"

	// keyLife is how long a key is remembered, keyMost how many are: the ones
	// that are older than so many others go first.
	keyLife = 24 * time.Hour
	keyMost = 10_000

	// keySweep is how often those are looked for that are too old.
	keySweep = 10 * time.Minute

	// keyChunk is how many records are deleted in a batch, as long as they are
	// not all of one key.
	keyChunk = store.MaxOps / 2

	// maxKey is the length in bytes of the longest key.
	maxKey = 255

	// maxPart is how many bytes of an answer a record has.
	maxPart = 128 << 10
)

// keyNote is what a key's record says.
type keyNote struct {
	At    time.Time `json:"at"`
	Print string    `json:"print"` // of the request
	Parts int       `json:"parts,omitempty"`

	// What the request led to: the answer of what acquired leases; the ids and
	// warnings of an exec.
	Answer   json.RawMessage `json:"answer,omitempty"`
	IDs      []int           `json:"ids,omitempty"` // the first and the last
	Warnings []string        `json:"warnings,omitempty"`
}

// keys are the keys that are remembered.
type keys struct {
	store store.Store
	now   func() time.Time
	log   *slog.Logger
	full  chan struct{} // holds something while there are too many

	mu    sync.Mutex
	known map[keyDigest]*keyState
	order []keyDigest // of those that are done, the oldest first
}

type keyDigest [16]byte

func (d keyDigest) String() string { return hex.EncodeToString(d[:]) }

// storeKey is the key of the record, and what those of its parts begin with.
func (d keyDigest) storeKey() string { return keyFolder + d.String() }

// keyState is what is known of a key without its record.
type keyState struct {
	print string
	at    time.Time
	parts int
	busy  chan struct{} // closed once the request under way is done; nil when none is
}

func newKeys(st store.Store, now func() time.Time, log *slog.Logger) *keys {
	return &keys{store: st, now: now, log: log, full: make(chan struct{}, 1), known: make(map[keyDigest]*keyState)}
}

// load reads which keys there are.
func (k *keys) load(ctx context.Context) error {
	entries, _, err := k.store.List(ctx, keyFolder)
	if err != nil {
		return fmt.Errorf("read the idempotency keys: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range entries {
		raw, err := hex.DecodeString(strings.TrimPrefix(e.Key, keyFolder))
		if err != nil || len(raw) != len(keyDigest{}) {
			continue // a part
		}
		var note keyNote
		if err := json.Unmarshal(e.Value, &note); err != nil {
			k.log.Error("an idempotency key cannot be read and is left alone", "key", e.Key, "error", err)
			continue
		}
		d := keyDigest(raw)
		k.known[d] = &keyState{print: note.Print, at: note.At, parts: note.Parts}
		k.order = append(k.order, d)
	}
	slices.SortStableFunc(k.order, func(a, b keyDigest) int { return k.known[a].at.Compare(k.known[b].at) })
	return nil
}

// run forgets keys until ctx ends.
func (k *keys) run(ctx context.Context) {
	tick := time.NewTicker(keySweep)
	defer tick.Stop()
	for {
		if err := k.sweep(ctx); err != nil && ctx.Err() == nil {
			k.log.Error("old idempotency keys cannot be deleted", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-k.full:
		}
	}
}

// sweep forgets the keys that are too old or too many.
func (k *keys) sweep(ctx context.Context) error {
	for {
		var b store.Batch
		k.mu.Lock()
		n := 0
		for n < len(k.order) {
			d := k.order[n]
			s := k.known[d]
			if len(k.order)-n <= keyMost && k.now().Sub(s.at) < keyLife {
				break
			}
			if n > 0 && b.Len()+1+s.parts > keyChunk {
				break
			}
			for part := range s.parts {
				b.Delete(partKey(d, part))
			}
			b.Delete(d.storeKey())
			delete(k.known, d)
			n++
		}
		k.order = k.order[n:]
		k.mu.Unlock()
		if n == 0 {
			return nil
		}
		// One that stays in the store because of an error is found there by the
		// next request with that key, and swept by the next daemon.
		if _, err := k.store.Commit(ctx, b); err != nil {
			return err
		}
	}
}

func partKey(d keyDigest, n int) string { return fmt.Sprintf("%s/%04d", d.storeKey(), n) }

// parseKey reads the header field: a string of structured fields (RFC 9651),
// or, as many send it, the same without its quotes.
func parseKey(field string) (string, error) {
	key := strings.TrimSpace(field)
	if quoted, ok := strings.CutPrefix(key, `"`); ok {
		if key, ok = strings.CutSuffix(quoted, `"`); !ok {
			return "", invalid("header.Idempotency-Key: the closing quote is missing")
		}
		if strings.Contains(key, `\`) {
			key = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(key)
		}
	}
	if key == "" || len(key) > maxKey {
		return "", invalid("header.Idempotency-Key: it has %d bytes, not 1 to %d", len(key), maxKey)
	}
	for _, c := range []byte(key) {
		if c < ' ' || c > '~' {
			return "", invalid("header.Idempotency-Key: only printable ASCII may be in it")
		}
	}
	return key, nil
}

// keyed is a request that carries a key and is under way; nil is one without a
// key.
type keyed struct {
	keys   *keys
	digest keyDigest
	state  *keyState
}

// record is what the work of the request commits with its own records.
func (q *keyed) record(note keyNote) store.Batch {
	var b store.Batch
	k := q.digest.storeKey()
	note.Print, note.At = q.state.print, q.state.at
	if len(note.Answer) > maxPart {
		for part := range slices.Chunk(note.Answer, maxPart) {
			b.Put(partKey(q.digest, note.Parts), part)
			note.Parts++
		}
		note.Answer = nil
	}
	// An answer is JSON already, as short as it can be.
	answer := note.Answer
	note.Answer = nil
	value, err := json.Marshal(note)
	if err != nil {
		panic(err) // plain data
	}
	if answer != nil {
		value = slices.Concat(value[:len(value)-1], []byte(`,"answer":`), answer, []byte("}"))
	}
	b.IfAbsent(k)
	b.Put(k, value)
	q.state.parts = note.Parts
	return b
}

// begin begins a request. With a note it was done before, and that is what it
// led to; else it is to be done now, and end has to follow. A request with the
// same key that is under way is waited for until it, ctx or lasting ends.
func (k *keys) begin(ctx, lasting context.Context, key, print string) (*keyed, *keyNote, error) {
	sum := sha256.Sum256([]byte(key))
	d := keyDigest(sum[:])
	for {
		k.mu.Lock()
		s := k.known[d]
		if s == nil {
			s = &keyState{print: print, at: k.now().UTC().Round(0), busy: make(chan struct{})}
			k.known[d] = s
			k.mu.Unlock()
			return &keyed{k, d, s}, nil, nil
		}
		known, busy := s.print, s.busy
		k.mu.Unlock()
		if known != print {
			return nil, nil, errKeyReused
		}
		if busy == nil {
			note, err := k.read(ctx, d)
			if !errors.Is(err, store.ErrNotFound) {
				return nil, note, err
			}
			k.drop(d, s) // it was not done after all
			continue
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case <-lasting.Done():
			return nil, nil, errStopping
		}
	}
}

// end ends a request whose work returned err, and reports whether it was done
// all the same, or by somebody else.
func (q *keyed) end(ctx context.Context, err error) (done bool) {
	k := q.keys
	done = err == nil
	var known *keyNote
	if err != nil {
		// The work may have failed after it was written down. Where the store does
		// not tell, the next request with the key asks it again.
		var readErr error
		known, readErr = k.read(context.WithoutCancel(ctx), q.digest)
		done = !errors.Is(readErr, store.ErrNotFound)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	close(q.state.busy)
	q.state.busy = nil
	if !done {
		delete(k.known, q.digest)
		return false
	}
	if known != nil {
		q.state.print, q.state.at, q.state.parts = known.Print, known.At, known.Parts
	}
	k.order = append(k.order, q.digest)
	if len(k.order) > keyMost {
		select {
		case k.full <- struct{}{}:
		default:
		}
	}
	return true
}

// drop forgets a key that the store does not have.
func (k *keys) drop(d keyDigest, s *keyState) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known[d] != s || s.busy != nil {
		return
	}
	delete(k.known, d)
	if i := slices.Index(k.order, d); i >= 0 {
		k.order = slices.Delete(k.order, i, i+1)
	}
}

// read reads a key's record.
func (k *keys) read(ctx context.Context, d keyDigest) (*keyNote, error) {
	e, err := k.store.Get(ctx, d.storeKey())
	if err != nil {
		return nil, err
	}
	var note keyNote
	if err := json.Unmarshal(e.Value, &note); err != nil {
		return nil, fmt.Errorf("read the idempotency key %s: %w", e.Key, err)
	}
	var answer bytes.Buffer
	for part := range note.Parts {
		e, err := k.store.Get(ctx, partKey(d, part))
		if err != nil {
			return nil, err
		}
		answer.Write(e.Value)
	}
	if note.Parts > 0 {
		note.Answer = answer.Bytes()
	}
	return &note, nil
}

// once does a request's work, or tells what it led to where a request with the
// same key did it before. The fingerprint of a request is its operation and
// its body, as it was understood: text is that as JSON.
func once[T any](ctx context.Context, s *Server, field, operation string, text []byte,
	work func(q *keyed) (T, error), again func(note *keyNote) (T, error)) (none T, err error) {
	if field == "" {
		return work(nil)
	}
	key, err := parseKey(field)
	if err != nil {
		return none, err
	}
	if scope := access.From(ctx).Scope(); scope != "" {
		key = scope + "\n" + key // nobody is told what another one's request led to
	}
	sum := sha256.Sum256(slices.Concat([]byte(operation+"\n"), text))
	print := hex.EncodeToString(sum[:16])
	for {
		q, note, err := s.keys.begin(ctx, s.lasting, key, print)
		switch {
		case err != nil:
			return none, err
		case note != nil:
			return again(note)
		}
		out, doneBefore, err := attempt(ctx, q, work)
		if !doneBefore {
			return out, err
		}
	}
}

// bodyText is a body that was understood, as JSON.
func bodyText(body any) []byte {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // plain data
	}
	return text
}

// attempt does the work of a keyed request and ends it, also where the work
// panics. DoneBefore says that it was done before, which was not known.
func attempt[T any](ctx context.Context, q *keyed, work func(q *keyed) (T, error)) (out T, doneBefore bool, err error) {
	err = errPanic
	defer func() { doneBefore = q.end(ctx, err) && errors.Is(err, store.ErrConflict) }()
	out, err = work(q)
	return out, false, err
}
