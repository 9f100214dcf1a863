package client_test

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"berth/api"
	"berth/client"
)

// What only reads is sent again where the connection is lost before the answer;
// what changes something is sent once.
func TestReadAgain(t *testing.T) {
	for _, tt := range []struct {
		name    string
		lost    int32 // how many of the first requests go unanswered
		call    func(c *client.Client) error
		want    error
		arrived int32
	}{
		{"read", 2, func(c *client.Client) error {
			_, err := c.Ranges(t.Context(), "")
			return err
		}, nil, 3},
		{"read in vain", 9, func(c *client.Client) error {
			_, err := c.Ranges(t.Context(), "")
			return err
		}, client.ErrConnectionLost, 3},
		{"change", 1, func(c *client.Client) error {
			_, err := c.AddRanges(t.Context(), api.AddRanges{})
			return err
		}, client.ErrConnectionLost, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var arrived atomic.Int32
			socket := listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if arrived.Add(1) <= tt.lost {
					panic(http.ErrAbortHandler)
				}
				_, _ = io.WriteString(w, "[]")
			}))
			if err := tt.call(newClient(t, socket)); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if n := arrived.Load(); n != tt.arrived {
				t.Errorf("%d requests arrived, want %d", n, tt.arrived)
			}
		})
	}
}
