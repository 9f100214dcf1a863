package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"berth/store"
)

func testGet(t *testing.T, s store.Store) {
	_, err := s.Get(ctxOf(t), "a")
	wantErr(t, "get of an absent key", err, store.ErrNotFound)

	r1 := put(t, s, "a", "1")
	r2 := put(t, s, "a/b", "2")
	for _, want := range []string{at("a", "1", r1), at("a/b", "2", r2)} {
		key, _, _ := strings.Cut(want, "=")
		e, err := s.Get(ctxOf(t), key)
		if err != nil {
			t.Fatalf("get %q: %v", key, err)
		}
		if format(e) != want {
			t.Errorf("got %s, want %s", format(e), want)
		}
	}
	for _, key := range []string{"", "a/", "b", "\xff"} {
		_, err := s.Get(ctxOf(t), key)
		wantErr(t, fmt.Sprintf("get %q", key), err, store.ErrNotFound)
	}
}

func testList(t *testing.T, s store.Store) {
	entries, r0 := list(t, s, "x/")
	if len(entries) != 0 {
		t.Errorf("an empty store lists %v", entries)
	}
	r1 := put(t, s, "x/b", "2", "x/a", "1", "y/a", "other", "x", "not in the folder")
	if r1 <= r0 {
		t.Errorf("revision %d is not above that of the listing before, %d", r1, r0)
	}
	r2 := put(t, s, "x/a/c", "3", "x/aa", "4", "x/B", "5")
	wantEntries(t, s, "x/",
		at("x/B", "5", r2), at("x/a", "1", r1), at("x/a/c", "3", r2), at("x/aa", "4", r2), at("x/b", "2", r1))
	wantEntries(t, s, "x/a", at("x/a", "1", r1), at("x/a/c", "3", r2), at("x/aa", "4", r2))
	wantEntries(t, s, "z")
	if _, r := list(t, s, "z"); r != r2 {
		t.Errorf("a listing is of revision %d, want %d", r, r2)
	}
}

func testListAll(t *testing.T, s store.Store) {
	var want []string
	var b store.Batch
	for i := range 100 {
		b.Put(fmt.Sprintf("k/%02d", (i*37)%100), []byte(fmt.Sprint(i)))
	}
	r := commit(t, s, b)
	for _, op := range b.Ops {
		want = append(want, at(op.Key, string(op.Value), r))
	}
	slices.Sort(want)
	wantEntries(t, s, "", want...)
	wantEntries(t, s, "k/", want...)
}

func testValues(t *testing.T, s store.Store) {
	given := []byte("value")
	var b store.Batch
	b.Put("k", given)
	r := commit(t, s, b)
	copy(given, "spoil")
	wantEntries(t, s, "k", at("k", "value", r))

	e, err := s.Get(ctxOf(t), "k")
	if err != nil {
		t.Fatal(err)
	}
	copy(e.Value, "spoil")
	entries, _ := list(t, s, "k")
	copy(entries[0].Value, "waste")
	_ = append(entries[0].Value, "more"...)
	wantEntries(t, s, "k", at("k", "value", r))
	if e, _ := s.Get(ctxOf(t), "k"); string(e.Value) != "value" {
		t.Errorf("get: value %q was changed from outside", e.Value)
	}
}

func testEmptyValues(t *testing.T, s store.Store) {
	var b store.Batch
	b.Put("nil", nil)
	b.Put("empty", []byte{})
	r := commit(t, s, b)
	wantEntries(t, s, "", at("empty", "", r), at("nil", "", r))
	var again store.Batch
	again.IfAbsent("nil")
	again.Put("nil", nil)
	wantConflict(t, s, again, "nil")
}

// testUnusualKeys has keys that a driver might keep for itself or order
// otherwise.
func testUnusualKeys(t *testing.T, s store.Store) {
	keys := []string{"\x00", "\x00\x00", " ", "!badger!x", "!badger!txn", "/", "a\x00b", "\x7f", "é", "ÿ", "\U0010ffff",
		strings.Repeat("k", store.MaxKeyBytes)}
	var b store.Batch
	for _, key := range keys {
		b.IfAbsent(key)
		b.Put(key, []byte("v"))
	}
	r := commit(t, s, b)
	var want []string
	for _, key := range slices.Sorted(slices.Values(keys)) {
		want = append(want, at(key, "v", r))
		if e, err := s.Get(ctxOf(t), key); err != nil || format(e) != at(key, "v", r) {
			t.Errorf("get %q: %v, %v", key, e, err)
		}
	}
	wantEntries(t, s, "", want...)
	wantEntries(t, s, "\x00", at("\x00", "v", r), at("\x00\x00", "v", r))
	wantEntries(t, s, "\xff")
	del(t, s, keys...)
	wantEntries(t, s, "")
}
