package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"berth/store"
)

const (
	// tokenFolder is where the store has tokens: tokens/<name>.
	tokenFolder = "tokens/"

	// secretPrefix begins every secret, so that who finds one knows what it is,
	// and programs that look for lost secrets find it.
	secretPrefix = "berth_"

	// secretBytes is how many random bytes a secret has. A hash that is quick
	// is as good as a slow one for it: nobody guesses 256 bits.
	secretBytes = 32

	// maxName is the most bytes of the name of a token or an owner.
	maxName = 64

	// MaxQuota is the largest quota: there are not more ports of both protocols.
	MaxQuota = 2 * 65535
)

// Token is what is told of a token. Its secret was told once, when it was made.
type Token struct {
	Name    string
	Role    Role
	Owner   string // whose the leases are that are acquired with it
	Quota   int    // how many leases the owner may have; 0 says nothing
	Created time.Time
	Expires time.Time // zero: never
	By      string    // who has made it
}

// Expired reports whether the token's time is over.
func (t Token) Expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// tokenRecord is a token in the store.
type tokenRecord struct {
	Role    string    `json:"role"`
	Owner   string    `json:"owner"`
	Quota   int       `json:"quota,omitempty"`
	Hash    []byte    `json:"hash"` // SHA-256 of the secret
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	By      string    `json:"by,omitempty"`
}

// Tokens are the tokens that a store holds. Its methods may be called from many
// goroutines.
type Tokens struct {
	store store.Store
	now   func() time.Time
	log   *slog.Logger

	// changing is held while a token is added or deleted.
	changing sync.Mutex

	mu     sync.RWMutex
	byHash map[[sha256.Size]byte]*known
	byName map[string]*known
}

// known is a token in memory.
type known struct {
	Token
	hash [sha256.Size]byte

	// live ends once the token is revoked.
	live   context.Context
	revoke context.CancelCauseFunc
}

func newKnown(t Token, hash [sha256.Size]byte) *known {
	k := &known{Token: t, hash: hash}
	k.live, k.revoke = context.WithCancelCause(context.Background())
	return k
}

// OpenTokens reads the tokens of a store, which the caller closes. A record that
// cannot be read is reported to log and is no token.
func OpenTokens(ctx context.Context, st store.Store, now func() time.Time, log *slog.Logger) (*Tokens, error) {
	t := &Tokens{store: st, now: now, log: log, byHash: make(map[[sha256.Size]byte]*known), byName: make(map[string]*known)}
	entries, _, err := st.List(ctx, tokenFolder)
	if err != nil {
		return nil, fmt.Errorf("read the tokens: %w", err)
	}
	for _, e := range entries {
		k, err := parseToken(strings.TrimPrefix(e.Key, tokenFolder), e.Value)
		if err != nil {
			log.Error("a token cannot be read, and is none", "key", e.Key, "error", err)
			continue
		}
		t.put(k)
	}
	return t, nil
}

func parseToken(name string, value []byte) (*known, error) {
	var r tokenRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, err
	}
	if len(r.Hash) != sha256.Size {
		return nil, fmt.Errorf("its hash has %d bytes", len(r.Hash))
	}
	role, err := ParseRole(r.Role)
	if err != nil {
		return nil, err
	}
	t := Token{Name: name, Role: role, Owner: r.Owner, Quota: r.Quota, Created: r.Created, Expires: r.Expires, By: r.By}
	return newKnown(t, [sha256.Size]byte(r.Hash)), nil
}

func (t *Tokens) put(k *known) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byName[k.Name], t.byHash[k.hash] = k, k
}

// Add makes a token and returns it with its secret, which nobody can be told
// again. Of what is given Created is not looked at; without an owner the owner is
// the token's name. Errors: ErrInvalid, ErrTokenExists, the store's.
func (t *Tokens) Add(ctx context.Context, add Token) (Token, string, error) {
	if add.Owner == "" {
		add.Owner = add.Name
	}
	add.Created = t.now().UTC()
	switch err := errors.Join(CheckName("token", add.Name), CheckName("owner", add.Owner)); {
	case err != nil:
		return Token{}, "", err
	case add.Role < Read || add.Role > Admin:
		return Token{}, "", stated(ErrInvalid, "token %s has no role", add.Name)
	case add.Quota < 0 || add.Quota > MaxQuota:
		return Token{}, "", stated(ErrInvalid, "quota %d of token %s is not between 0 and %d", add.Quota, add.Name, MaxQuota)
	case add.Expired(add.Created):
		return Token{}, "", stated(ErrInvalid, "token %s would have expired already", add.Name)
	}
	random := make([]byte, secretBytes)
	rand.Read(random) // it never fails
	secret := secretPrefix + base64.RawURLEncoding.EncodeToString(random)
	k := newKnown(add, sha256.Sum256([]byte(secret)))
	record, err := json.Marshal(tokenRecord{
		Role: add.Role.String(), Owner: add.Owner, Quota: add.Quota, Hash: k.hash[:], Created: add.Created, Expires: add.Expires, By: add.By,
	})
	if err != nil {
		return Token{}, "", err
	}
	t.changing.Lock()
	defer t.changing.Unlock()
	t.mu.RLock()
	_, exists := t.byName[add.Name]
	t.mu.RUnlock()
	if exists {
		return Token{}, "", tokenExists(add.Name)
	}
	var b store.Batch
	b.IfAbsent(tokenFolder + add.Name)
	b.Put(tokenFolder+add.Name, record)
	if _, err := t.store.Commit(ctx, b); err != nil {
		if errors.Is(err, store.ErrConflict) {
			return Token{}, "", tokenExists(add.Name) // one that cannot be read
		}
		return Token{}, "", fmt.Errorf("add token %s: %w", add.Name, err)
	}
	t.put(k)
	return k.Token, secret, nil
}

func tokenExists(name string) error {
	return stated(ErrTokenExists, "there is a token %s: take another name, or berth token del -n %s first", name, name)
}

// List returns the tokens whose names fit, by name.
func (t *Tokens) List(fits func(name string) bool) []Token {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var found []Token
	for _, name := range slices.Sorted(maps.Keys(t.byName)) {
		if fits(name) {
			found = append(found, t.byName[name].Token)
		}
	}
	return found
}

// Delete revokes the tokens whose names fit, and returns them: from now on nobody
// is known by them, and what is under way with them ends. None is no error.
// Those that the store could not forget are revoked until the daemon's end.
func (t *Tokens) Delete(ctx context.Context, fits func(name string) bool) ([]Token, error) {
	t.changing.Lock()
	defer t.changing.Unlock()
	entries, _, err := t.store.List(ctx, tokenFolder)
	if err != nil {
		return nil, fmt.Errorf("read the tokens: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name := strings.TrimPrefix(e.Key, tokenFolder); fits(name) {
			names = append(names, name)
		}
	}
	var deleted []Token
	for part := range slices.Chunk(names, store.MaxOps) {
		var b store.Batch
		for _, name := range part {
			b.Delete(tokenFolder + name)
		}
		// What may have been deleted is not taken any more, whatever the store says.
		for _, name := range part {
			deleted = append(deleted, t.forget(name))
		}
		if _, err := t.store.Commit(ctx, b); err != nil {
			return nil, fmt.Errorf("delete tokens: %w", err)
		}
	}
	return deleted, nil
}

// forget takes a token out of memory.
func (t *Tokens) forget(name string) Token {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.byName[name]
	if k == nil {
		return Token{Name: name} // one that could not be read
	}
	delete(t.byName, name)
	delete(t.byHash, k.hash)
	k.revoke(stated(ErrUnauthenticated, "token %s was revoked", k.Name))
	return k.Token
}

// Shown is who has shown a secret.
type Shown struct {
	Token Token

	// Live ends once the token is revoked; its cause is ErrUnauthenticated.
	Live context.Context
}

// Find returns whose secret it is. The error is ErrUnauthenticated, and says
// nothing of a secret that is no token's.
func (t *Tokens) Find(secret string) (Shown, error) {
	hash := sha256.Sum256([]byte(secret))
	t.mu.RLock()
	k := t.byHash[hash]
	t.mu.RUnlock()
	// The table is looked through by the hash, of which who guesses knows
	// nothing; what is found is compared without telling how much of it fits.
	if k == nil || subtle.ConstantTimeCompare(k.hash[:], hash[:]) != 1 {
		return Shown{}, stated(ErrUnauthenticated, "the token is not known here: it was revoked, or is another daemon's; berth token add makes one")
	}
	if k.Expired(t.now()) {
		return Shown{}, stated(ErrUnauthenticated, "token %s has expired (%s): berth token add makes another one", k.Name, k.Expires.UTC().Format(time.RFC3339))
	}
	return Shown{k.Token, k.live}, nil
}

// CheckName checks the name of a token or an owner: letters, digits, '.', '_'
// and '-', at most 64 of them. Errors are ErrInvalid.
func CheckName(what, name string) error {
	switch {
	case name == "":
		return stated(ErrInvalid, "the %s has no name", what)
	case len(name) > maxName:
		return stated(ErrInvalid, "%s %.20q…: a name has at most %d letters", what, name, maxName)
	}
	for _, c := range name {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return stated(ErrInvalid, "%s %q: only letters, digits, '.', '_' and '-' may be in a name", what, name)
		}
	}
	return nil
}
