package main

import (
	"regexp"
	"strings"
	"testing"

	"berth/internal/require"
)

// Two rows that are measured beside each other, by processes of their own, come
// back in their order with what was done.
func TestLanes(t *testing.T) {
	if why := needLanes.lacks(); why != "" {
		require.Missing(t, needLanes.name, why)
	}
	s, log := testSuite(t)
	few := pointsMatching(regexp.MustCompile("^acquire/(begun|picked) kill$"))
	rows := s.inLanes(t.Context(), 2, []measure{few, few})
	if len(rows) != 2 {
		t.Fatalf("%d rows: %s", len(rows), log)
	}
	for _, r := range rows {
		if !r.good() || r.done != 2 || !strings.Contains(r.notes[0], "points") {
			t.Errorf("row %+v\n%s", r, log)
		}
	}
	none := few
	none.name = "no such measure"
	if rows := s.inLanes(t.Context(), 1, []measure{none}); rows[0].good() || rows[0].err == nil {
		t.Errorf("row %+v of a measure that is not there", rows[0])
	}
}
