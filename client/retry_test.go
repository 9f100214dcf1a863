package client_test

import (
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"

	"berth/api"
	"berth/client"
)

// What only reads is sent again where the connection is lost before the answer;
// so is what acquires, with the same key; what else changes something is sent once.
func TestReadAgain(t *testing.T) {
	for _, tt := range []struct {
		name    string
		lost    int32 // how many of the first requests go unanswered
		call    func(c *client.Client) error
		want    error
		arrived int32
		key     string // what all of them had, as a pattern
	}{
		{"read", 2, func(c *client.Client) error {
			_, err := c.Ranges(t.Context(), "")
			return err
		}, nil, 3, `^$`},
		{"read in vain", 9, func(c *client.Client) error {
			_, err := c.Ranges(t.Context(), "")
			return err
		}, client.ErrConnectionLost, 4, `^$`},
		{"acquire", 3, func(c *client.Client) error {
			_, err := c.AcquireLeases(t.Context(), api.AcquireLeases{Ranges: []string{"http"}})
			return err
		}, nil, 4, `^"[A-Z2-7]{26}"$`},
		{"acquire in vain", 9, func(c *client.Client) error {
			_, err := c.AcquireLeases(t.Context(), api.AcquireLeases{Ranges: []string{"http"}})
			return err
		}, client.ErrConnectionLost, 4, `^"[A-Z2-7]{26}"$`},
		{"exec, with a key of the caller's", 1, func(c *client.Client) error {
			_, err := c.Exec(client.WithKey(t.Context(), `a "key"`), api.Exec{})
			return err
		}, nil, 2, `^"a \\"key\\""$`},
		{"change", 1, func(c *client.Client) error {
			_, err := c.AddRanges(t.Context(), api.AddRanges{})
			return err
		}, client.ErrConnectionLost, 1, `^$`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var arrived atomic.Int32
			var keys []string // one request comes after the other
			socket := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if key := r.Header.Get("Idempotency-Key"); !slices.Contains(keys, key) {
					keys = append(keys, key)
				}
				if arrived.Add(1) <= tt.lost {
					panic(http.ErrAbortHandler)
				}
				if r.URL.Path == "/v1/processes" {
					_, _ = io.WriteString(w, "{}")
					return
				}
				_, _ = io.WriteString(w, "[]")
			}))
			if err := tt.call(newClient(t, socket)); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if n := arrived.Load(); n != tt.arrived {
				t.Errorf("%d requests arrived, want %d", n, tt.arrived)
			}
			if len(keys) != 1 || !regexp.MustCompile(tt.key).MatchString(keys[0]) {
				t.Errorf("the keys %q were sent, want one like %s", keys, tt.key)
			}
		})
	}
}
