package access_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/access"
	"berth/store"
	"berth/store/storetest"
)

func all(string) bool { return true }

func TestRoles(t *testing.T) {
	order := []access.Role{access.None, access.Read, access.Lease, access.Exec, access.Admin}
	for i, r := range order {
		for j, need := range order {
			if r.Allows(need) != (i >= j) {
				t.Errorf("%v allows what needs %v: %v", r, need, r.Allows(need))
			}
		}
		parsed, err := access.ParseRole(r.String())
		if r == access.None {
			if !errors.Is(err, access.ErrInvalid) {
				t.Errorf("the role none is given: %v", err)
			}
		} else if parsed != r || err != nil {
			t.Errorf("%v is read as %v, %v", r, parsed, err)
		}
	}
	for _, text := range []string{"", "Admin", "root", "read "} {
		if _, err := access.ParseRole(text); !errors.Is(err, access.ErrInvalid) {
			t.Errorf("role %q: %v", text, err)
		}
	}
}

func TestPeers(t *testing.T) {
	p, gid, err := access.ParsePeers(500, "2000", "", "1001=read, 1002=exec,@3000=admin,@2001=read,1001=lease")
	if err != nil || gid != 2000 {
		t.Fatal(gid, err)
	}
	for _, tt := range []struct {
		peer access.Peer
		want access.Role
	}{
		{access.Peer{UID: 0, GID: 9}, access.Admin},
		{access.Peer{UID: 500, GID: 9}, access.Admin},
		{access.Peer{UID: 1001, GID: 9}, access.Lease},
		{access.Peer{UID: 1002, GID: 2000}, access.Exec},
		{access.Peer{UID: 1003, GID: 2000}, access.Lease},
		{access.Peer{UID: 1003, GID: 9, Groups: []int{8, 2000}}, access.Lease},
		{access.Peer{UID: 1003, GID: 2001, Groups: []int{3000}}, access.Admin},
		{access.Peer{UID: 1003, GID: 2001}, access.Read},
		{access.Peer{UID: 1003, GID: 9}, access.None},
		{access.Peer{UID: 2000, GID: 1001}, access.None}, // a user is not a group
	} {
		if got := p.Role(tt.peer); got != tt.want {
			t.Errorf("%+v has the role %v, want %v", tt.peer, got, tt.want)
		}
	}
	if p.IsOwners() || !(access.Peers{Owner: 500}).IsOwners() {
		t.Error("whether the socket is the owner's alone")
	}
	for _, bad := range [][3]string{
		{"", "lease", ""}, {"no-such-group-here", "", ""}, {"2000", "none", ""}, {"", "", "1001"}, {"", "", "=read"},
		{"", "", "1001=owner"}, {"", "", "no-such-user-here=read"}, {"", "", "@no-such-group-here=read"}, {"-1", "", ""},
	} {
		if _, _, err := access.ParsePeers(500, bad[0], bad[1], bad[2]); !errors.Is(err, access.ErrInvalid) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if p, gid, err := access.ParsePeers(500, "", "", ""); err != nil || gid != -1 || !p.IsOwners() {
		t.Errorf("nothing said: %+v %d %v", p, gid, err)
	}
	if c := p.Caller(access.Peer{UID: 4_000_123, PID: 7}); c.Owner != "uid-4000123" || !c.Known || c.UID != 4_000_123 || c.PID != 7 || c.Role != access.None {
		t.Errorf("a user without a name: %+v", c)
	}
	if c := p.Caller(access.Peer{}); c.User != "root" || c.Owner != "root" || !c.IsAdmin() {
		t.Errorf("root: %+v", c)
	}
}

func TestCallers(t *testing.T) {
	admin := access.Caller{Known: true, Role: access.Admin, User: "root", Owner: "root"}
	web := access.Caller{Known: true, Role: access.Lease, Token: "ci", Owner: "web"}
	stranger := access.Caller{Known: true, UID: 7}
	for _, tt := range []struct {
		c    access.Caller
		need access.Role
		want error
	}{
		{access.Caller{}, access.None, access.ErrUnauthenticated},
		{access.Caller{Role: access.Admin}, access.Read, access.ErrUnauthenticated},
		{stranger, access.None, access.ErrForbidden},
		{web, access.Lease, nil}, {web, access.Read, nil}, {web, access.Exec, access.ErrForbidden},
		{admin, access.Admin, nil},
	} {
		if err := tt.c.Check(tt.need); !errors.Is(err, tt.want) {
			t.Errorf("%v, who needs %v: %v", tt.c, tt.need, err)
		}
	}
	for _, tt := range []struct {
		c           access.Caller
		owner, want string
	}{{admin, "", "root"}, {admin, "web", "web"}, {web, "", "web"}, {web, "web", "web"}, {web, "db", ""}} {
		got, err := tt.c.Acts(tt.owner)
		if got != tt.want || (tt.owner == "db") != errors.Is(err, access.ErrForbidden) {
			t.Errorf("%v acts for %q: %q %v", tt.c, tt.owner, got, err)
		}
	}
	for _, tt := range []struct {
		c     access.Caller
		owner string
		may   bool
	}{{admin, "web", true}, {admin, "", true}, {web, "web", true}, {web, "db", false}, {web, "", false}, {access.Caller{}, "", false}} {
		if err := tt.c.Owns(tt.owner); (err == nil) != tt.may || !tt.may && !errors.Is(err, access.ErrForbidden) {
			t.Errorf("%v owns what is %q's: %v", tt.c, tt.owner, err)
		}
	}
	if access.From(context.Background()).Check(access.None) == nil {
		t.Error("nobody may do something")
	}
	if got := access.From(access.With(context.Background(), web)); got != web {
		t.Errorf("%+v", got)
	}
	if admin.Scope() != "" || web.Scope() == "" {
		t.Error("scopes")
	}
}

// clock is a time that tests set.
type clock struct{ atomic.Pointer[time.Time] }

func newClock() *clock {
	c := new(clock)
	c.set(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	return c
}
func (c *clock) set(t time.Time)            { c.Store(&t) }
func (c *clock) now() time.Time             { return *c.Load() }
func (c *clock) pass(d time.Duration)       { c.set(c.now().Add(d)) }
func logTo(b *strings.Builder) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

func TestTokens(t *testing.T) {
	ctx, st, now := t.Context(), storetest.NewMemory(), newClock()
	var log strings.Builder
	open := func() *access.Tokens {
		tokens, err := access.OpenTokens(ctx, st, now.now, logTo(&log))
		if err != nil {
			t.Fatal(err)
		}
		return tokens
	}
	tokens := open()
	added, secret, err := tokens.Add(ctx, access.Token{Name: "ci", Role: access.Lease, Quota: 3, Expires: now.now().Add(time.Hour), By: "user root"})
	if err != nil || added.Owner != "ci" || !added.Created.Equal(now.now()) {
		t.Fatalf("%+v %v", added, err)
	}
	if len(secret) != len("berth_")+43 || !strings.HasPrefix(secret, "berth_") {
		t.Errorf("the secret has %d letters", len(secret))
	}
	_, other, err := tokens.Add(ctx, access.Token{Name: "web", Role: access.Admin, Owner: "shop"})
	if err != nil || other == secret {
		t.Fatal(err)
	}
	if _, _, err := tokens.Add(ctx, access.Token{Name: "ci", Role: access.Read}); !errors.Is(err, access.ErrTokenExists) {
		t.Errorf("a name that is taken: %v", err)
	}
	for _, bad := range []access.Token{
		{Role: access.Read}, {Name: "a/b", Role: access.Read}, {Name: "a", Owner: "ä", Role: access.Read}, {Name: "a"}, {Name: "a", Role: 9},
		{Name: strings.Repeat("x", 65), Role: access.Read}, {Name: "a", Role: access.Read, Quota: -1},
		{Name: "a", Role: access.Read, Expires: now.now().Add(-time.Second)},
	} {
		if _, _, err := tokens.Add(ctx, bad); !errors.Is(err, access.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}

	// The store has hashes only.
	entries, _, err := st.List(ctx, "")
	if err != nil || len(entries) != 2 {
		t.Fatalf("%v %v", entries, err)
	}
	for _, e := range entries {
		if text := e.Key + string(e.Value); strings.Contains(text, secret[6:20]) || strings.Contains(text, other[6:20]) {
			t.Errorf("the store has a secret: %s", text)
		}
	}

	// The next daemon knows them as well.
	tokens = open()
	shown, err := tokens.Find(secret)
	if err != nil || shown.Token != added {
		t.Errorf("found %+v %v, want %+v", shown.Token, err, added)
	}
	for _, wrong := range []string{"", "berth_", secret[:len(secret)-1], secret + "x", strings.ToUpper(secret), " " + secret} {
		if _, err := tokens.Find(wrong); !errors.Is(err, access.ErrUnauthenticated) || wrong != "" && strings.Contains(err.Error(), wrong) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if got := tokens.List(all); len(got) != 2 || got[0].Name != "ci" || got[1].Name != "web" || got[1].Owner != "shop" {
		t.Errorf("%+v", got)
	}

	// One that has expired is listed, and not taken.
	now.pass(time.Hour)
	if _, err := tokens.Find(secret); !errors.Is(err, access.ErrUnauthenticated) || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired one: %v", err)
	}
	if got := tokens.List(all); len(got) != 2 || !got[0].Expired(now.now()) || got[1].Expired(now.now()) {
		t.Errorf("%+v", got)
	}

	// One that is revoked is nobody's at once, here and for the next daemon.
	shown, err = tokens.Find(other)
	if err != nil {
		t.Fatal(err)
	}
	deleted, err := tokens.Delete(ctx, func(name string) bool { return name == "web" })
	if err != nil || len(deleted) != 1 || deleted[0].Name != "web" {
		t.Errorf("%+v %v", deleted, err)
	}
	select {
	case <-shown.Live.Done():
		if !errors.Is(context.Cause(shown.Live), access.ErrUnauthenticated) {
			t.Error(context.Cause(shown.Live))
		}
	default:
		t.Error("what was begun with a revoked token does not end")
	}
	for _, ts := range []*access.Tokens{tokens, open()} {
		if _, err := ts.Find(other); !errors.Is(err, access.ErrUnauthenticated) {
			t.Errorf("a revoked one: %v", err)
		}
	}
	if deleted, err := tokens.Delete(ctx, func(string) bool { return false }); err != nil || len(deleted) != 0 {
		t.Errorf("none: %v %v", deleted, err)
	}
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
}

// A record that cannot be read lets nobody in, and can be deleted.
func TestBadToken(t *testing.T) {
	ctx, st := t.Context(), storetest.NewMemory()
	for name, value := range map[string]string{"a": "{", "b": `{"role":"admin","hash":"eA=="}`, "c": `{"role":"king","hash":"` + strings.Repeat("A", 43) + `="}`} {
		var b store.Batch
		b.Put("tokens/"+name, []byte(value))
		if _, err := st.Commit(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	var log strings.Builder
	tokens, err := access.OpenTokens(ctx, st, time.Now, logTo(&log))
	if err != nil || len(tokens.List(all)) != 0 || strings.Count(log.String(), "cannot be read") != 3 {
		t.Fatalf("%v %v\n%s", tokens.List(all), err, log.String())
	}
	if _, _, err := tokens.Add(ctx, access.Token{Name: "a", Role: access.Read}); !errors.Is(err, access.ErrTokenExists) {
		t.Errorf("in the place of one that cannot be read: %v", err)
	}
	if deleted, err := tokens.Delete(ctx, all); err != nil || len(deleted) != 3 {
		t.Errorf("%v %v", deleted, err)
	}
	if entries, _, _ := st.List(ctx, ""); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
}

// Where the store fails no token is made, and a revoked one stays revoked.
func TestTokenStoreFails(t *testing.T) {
	ctx := t.Context()
	st := &failing{Store: storetest.NewMemory()}
	tokens, err := access.OpenTokens(ctx, st, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := tokens.Add(ctx, access.Token{Name: "a", Role: access.Read})
	if err != nil {
		t.Fatal(err)
	}
	st.fails = true
	if _, secret, err := tokens.Add(ctx, access.Token{Name: "b", Role: access.Read}); !errors.Is(err, store.ErrNoSpace) || secret != "" {
		t.Errorf("added: %v", err)
	}
	if len(tokens.List(all)) != 1 {
		t.Errorf("%v", tokens.List(all))
	}
	if _, err := tokens.Delete(ctx, all); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("deleted: %v", err)
	}
	if _, err := tokens.Find(secret); !errors.Is(err, access.ErrUnauthenticated) {
		t.Errorf("after a deletion that failed: %v", err)
	}
}

type failing struct {
	store.Store
	fails bool
}

func (f *failing) Commit(ctx context.Context, b store.Batch) (store.Revision, error) {
	if f.fails {
		return 0, store.ErrNoSpace
	}
	return f.Store.Commit(ctx, b)
}

func TestQuotas(t *testing.T) {
	ctx, st := t.Context(), storetest.NewMemory()
	open := func() *access.Quotas {
		q, err := access.OpenQuotas(ctx, st, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	q := open()
	for _, set := range []access.Quota{{Owner: "web", Max: 3}, {Owner: "none", Max: 0}} {
		if err := q.Set(ctx, set); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []access.Quota{{Owner: "a/b", Max: 1}, {Owner: "", Max: 1}, {Owner: "a", Max: -1}, {Owner: "a", Max: access.MaxQuota + 1}} {
		if err := q.Set(ctx, bad); !errors.Is(err, access.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	of := func(owner string, byToken int) string {
		most, limited := q.Of(owner, byToken)
		return fmt.Sprint(most, " ", limited)
	}
	expect := func(owner string, byToken int, want string) {
		t.Helper()
		if got := of(owner, byToken); got != want {
			t.Errorf("%s with %d: %s, want %s", owner, byToken, got, want)
		}
	}
	expect("web", 0, "3 true")
	expect("web", 2, "2 true")
	expect("web", 9, "3 true")
	expect("none", 0, "0 true")
	expect("none", 5, "0 true")
	expect("db", 0, "0 false")
	expect("db", 5, "5 true")
	expect("", 5, "0 false")
	if err := q.Set(ctx, access.Quota{Owner: access.EveryOwner, Max: 7}); err != nil {
		t.Fatal(err)
	}
	q = open()
	expect("db", 0, "7 true")
	expect("web", 0, "3 true")
	if got := fmt.Sprint(q.List()); got != "[{* 7 <nil> <nil>} {none 0 <nil> <nil>} {web 3 <nil> <nil>}]" {
		t.Error(got)
	}
	if had, err := q.Delete(ctx, "web"); err != nil || !had {
		t.Error(had, err)
	}
	if had, err := q.Delete(ctx, "web"); err != nil || had {
		t.Error(had, err)
	}
	expect("web", 0, "7 true")
}

// However many acquire for an owner together, it never has more than its quota.
func TestQuotaHolds(t *testing.T) {
	q, err := access.OpenQuotas(t.Context(), storetest.NewMemory(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	const most = 10
	var have, refused atomic.Int32
	var all sync.WaitGroup
	for n := range 50 {
		all.Go(func() {
			err := q.Within(context.Background(), "web", most, 1+n%2, func() int { return int(have.Load()) }, func() error {
				if got := have.Add(int32(1 + n%2)); got > most {
					t.Errorf("%d leases", got)
				}
				return nil
			})
			if errors.Is(err, access.ErrQuota) {
				refused.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if have.Load() < most-1 || refused.Load() == 0 {
		t.Errorf("%d leases, %d refused", have.Load(), refused.Load())
	}

	// Who waits for its turn can give up.
	held, release := make(chan struct{}), make(chan struct{})
	all.Go(func() {
		_ = q.Within(context.Background(), "web", most, 0, func() int { return 0 }, func() error { close(held); <-release; return nil })
	})
	<-held
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := q.Within(ctx, "web", most, 1, func() int { return 0 }, func() error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("gave up: %v", err)
	}
	close(release)
	all.Wait()
}

// A quota may say how many of each protocol there may be, and says so after a
// restart.
func TestDemand(t *testing.T) {
	st := storetest.NewMemory()
	q, err := access.OpenQuotas(t.Context(), st, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	four, none, many := 4, 0, 7
	for _, set := range []access.Quota{{Owner: "mail1", Max: 6, TCP: &four}, {Owner: access.EveryOwner, Max: 3, UDP: &none}, {Owner: "free", Max: 9}} {
		if err := q.Set(t.Context(), set); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Set(t.Context(), access.Quota{Owner: "mail1", Max: 6, UDP: &many}); !errors.Is(err, access.ErrInvalid) {
		t.Errorf("a demand above the quota: %v", err)
	}
	check := func(q *access.Quotas) {
		t.Helper()
		for _, tt := range []struct {
			owner, protocol string
			most            int
			limited         bool
		}{
			{"mail1", "tcp", 4, true}, {"mail1", "udp", 0, false}, {"free", "tcp", 0, false}, {"free", "udp", 0, false},
			{"other", "udp", 0, true}, {"other", "tcp", 0, false}, {"", "udp", 0, false},
		} {
			if most, limited := q.Demand(tt.owner, tt.protocol); most != tt.most || limited != tt.limited {
				t.Errorf("%s %s: %d %t", tt.owner, tt.protocol, most, limited)
			}
		}
	}
	check(q)
	if q, err = access.OpenQuotas(t.Context(), st, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	check(q)
}
