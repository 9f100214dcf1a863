package main

import (
	"testing"

	"berth/internal/failpoint/source"
)

// switches are planted too, and are no bugs: they have something rare happen.
var switches = map[string]bool{"small-journal": true}

// Each bug of the source is planted, and each that is planted is in the source.
func TestBugsAreThoseOfTheSource(t *testing.T) {
	places, err := source.Planted("..")
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for _, b := range bugs {
		if missing[b.name] {
			t.Errorf("%s is planted twice", b.name)
		}
		missing[b.name] = true
	}
	known := map[string]bool{}
	for _, p := range places {
		if !missing[p.Name] && !known[p.Name] && !switches[p.Name] {
			t.Errorf("%v: %s is never planted", p.Place, p.Name)
		}
		known[p.Name] = true
		delete(missing, p.Name)
	}
	for name := range missing {
		t.Errorf("%s is planted, and the source does not have it", name)
	}
}

// A row that does not hold a promise does not catch what breaks it.
func TestMissedBug(t *testing.T) {
	s, _ := testSuite(t)
	caught, err := s.catch(t.Context(), bug{name: "skip-sync", caught: pointsNamed("^acquire/written kill"), rounds: 1})
	if caught != "" || err != nil {
		t.Errorf("it is caught: %q, %v", caught, err)
	}
}
