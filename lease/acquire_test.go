package lease_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"berth/lease"
	"berth/store"
)

func TestAcquireLowestFirst(t *testing.T) {
	f := open(t)
	f.add(t, http)
	for want := http.Min; want <= http.Max; want++ {
		if got := f.acquire(t, "http"); got[0].Port != want {
			t.Fatalf("port %d, want %d", got[0].Port, want)
		}
	}
	_, err := f.Acquire(t.Context(), requests("http")...)
	var full *lease.FullError
	if !errors.As(err, &full) || !errors.Is(err, lease.ErrRangeFull) {
		t.Fatalf("the seventh: %v, want a FullError", err)
	}
	want := "range http: all 6 ports are leased: 20000 by http-0, 20001 by http-0, 20002 by http-0, 20003 by http-0, 20004 by http-0, 20005 by http-0"
	if err.Error() != want {
		t.Errorf("error\n %s\nwant\n %s", err, want)
	}
}

func TestLowestRecuperatedIsNext(t *testing.T) {
	f := open(t)
	f.add(t, http)
	leases := f.acquire(t, slices.Repeat([]string{"http"}, 6)...)
	for _, i := range []int{4, 1, 3} {
		if err := f.Recuperate(t.Context(), []lease.ID{leases[i].ID}, store.Batch{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{20001, 20003, 20004} {
		if got := f.acquire(t, "http"); got[0].Port != want {
			t.Errorf("port %d, want %d", got[0].Port, want)
		}
	}
}

func TestAcquireAllOrNothing(t *testing.T) {
	f := open(t)
	f.add(t, http, rtp)
	_, err := f.Acquire(t.Context(), requests("http", "rtp", "rtp", "rtp", "rtp", "rtp")...)
	if !errors.Is(err, lease.ErrRangeFull) {
		t.Fatalf("five of four: %v", err)
	}
	if want := "range rtp: 5 ports wanted, it has 4 ports"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if got := f.status(t, "http"); len(got.Available) != 6 {
		t.Errorf("http has %v after the refusal", got.Available)
	}
	if got := f.status(t, "rtp"); len(got.Available) != 4 {
		t.Errorf("rtp has %v after the refusal", got.Available)
	}
	f.acquire(t, "rtp", "rtp", "rtp")
	_, err = f.Acquire(t.Context(), requests("rtp", "rtp")...)
	if err == nil || !strings.HasPrefix(err.Error(), "range rtp: 2 ports wanted, 1 of its 4 ports can be leased: 20100 by rtp-0, ") {
		t.Errorf("two of one: %v", err)
	}
}
