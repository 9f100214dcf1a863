package main

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"berth/api"
	"berth/internal/failpoint/source"
)

// The scenes have each failpoint of the source once, with every action that can
// happen there.
func TestScenesHaveAllPoints(t *testing.T) {
	points, err := source.Points("..")
	if err != nil {
		t.Fatal(err)
	}
	played := map[string][]string{}
	for _, sc := range scenes {
		for _, take := range sc.takes() {
			played[take.point] = append(played[take.point], take.action)
		}
	}
	for _, p := range points {
		want := actionsWithoutError
		if p.Fails {
			want = actions
		}
		if !slices.Equal(played[p.Name], want) {
			t.Errorf("%v: what happens at %s in the scenes is %v, want %v", p.Place, p.Name, played[p.Name], want)
		}
		delete(played, p.Name)
	}
	for name := range played {
		t.Errorf("the scenes have %s, and the source does not", name)
	}
}

// What does not happen at a point is noticed, and so is an error that nobody was
// told of, and what is there and was not acknowledged.
func TestStageNotices(t *testing.T) {
	s, _ := testSuite(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	st, err := s.newStage(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := finish(nil, new(figure), st.host, st.decoys); err != nil {
			t.Error(err)
		}
	}()
	st.wait = 0
	nothing := func(*stage, context.Context) error { return nil }
	for _, tt := range []struct {
		name     string
		take     take
		happened bool
		says     []string
	}{
		{
			"not reached",
			take{scene: scene{do: nothing}, point: "acquire/begun", action: "kill"}, false,
			[]string{"the point was not reached"},
		},
		{
			"no error can come",
			take{scene: scene{do: (*stage).archive}, point: "archive/written", action: "error"}, false,
			[]string{"the point was not reached"},
		},
		{
			"not told of",
			take{scene: scene{do: func(st *stage, ctx context.Context) error { _ = st.archive(ctx); return nil }}, point: "archive/begun", action: "error", refused: true}, true,
			[]string{"nobody was told of the error"},
		},
		{
			"a delay has it fail",
			take{scene: scene{do: func(st *stage, ctx context.Context) error { return errors.Join(st.archive(ctx), errNotDone) }}, point: "archive/begun", action: "delay"}, true,
			[]string{"it failed"},
		},
		{
			"ended",
			take{scene: scene{do: func(st *stage, _ context.Context) error { st.host.kill(); return errNotDone }}, point: "acquire/begun", action: "error"}, false,
			[]string{"the point was not reached", "the daemon has ended"},
		},
		{
			"not acknowledged",
			take{scene: scene{do: func(st *stage, ctx context.Context) error {
				st.things["range two-a"], st.things["range invented"] = false, true
				_, err := st.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{{Name: "two-a", Min: 29000, Max: 29001}}})
				return err
			}}, point: "range/begun", action: "delay"}, true,
			[]string{"range two-a is there: true", "range invented is there: false"},
		},
		{
			"half done",
			take{scene: scene{do: func(st *stage, ctx context.Context) error {
				st.doubtful["range two-a"], st.doubtful["range other"] = true, true
				return st.archive(ctx)
			}}, point: "archive/begun", action: "delay"}, true,
			[]string{"half done: 1 of 2"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f figure
			happened, err := st.play(ctx, tt.take, &f)
			if err != nil {
				t.Fatal(err)
			}
			if happened != tt.happened || len(f.violations) != len(tt.says) {
				t.Errorf("it has happened: %t; violations %q", happened, f.violations)
			}
			for _, want := range tt.says {
				if !strings.Contains(strings.Join(f.violations, "\n"), want) {
					t.Errorf("it does not say %q: %q", want, f.violations)
				}
			}
		})
	}
}

// The row counts what has happened, and is short by what has not.
func TestPlayAllCounts(t *testing.T) {
	takes := takesMatching(regexp.MustCompile(`^archive/(begun|written) (kill|delay|error)$`))
	if len(takes) != 5 {
		t.Fatalf("%v", takes)
	}
	s, _ := testSuite(t)
	f, err := s.playAll(t.Context(), takes, len(takes))
	if err != nil || f.done != 5 || len(f.violations) > 0 || len(f.notes) != 1 || !strings.HasPrefix(f.notes[0], "1 points × kill, error, delay; 1 at which") {
		t.Errorf("%v, %v", f, err)
	}
}

func TestPortsAmiss(t *testing.T) {
	of := func(available, active []int, aside ...int) api.RangeStatus {
		r := api.RangeStatus{Range: api.Range{Name: "r", Min: 1, Max: 3}, Available: available}
		for _, port := range active {
			r.Active = append(r.Active, api.ActivePort{Port: port})
		}
		for _, port := range aside {
			r.SetAside = append(r.SetAside, api.SetAsidePort{Port: port, Reason: "in use"})
		}
		return r
	}
	for _, tt := range []struct {
		name string
		r    api.RangeStatus
		says string
	}{
		{"good", of([]int{1, 3}, []int{2}), ""},
		{"bound by another", of([]int{3}, []int{2}, 1), ""},
		{"missing", of([]int{1}, []int{2}), "2 of the 3 ports"},
		{"set aside", of([]int{1}, []int{2}, 3), "set aside: in use"},
		{"pending", of([]int{1}, []int{2, 3}), "port 3 of r is active, and there is no lease"},
		{"available and leased", of([]int{1, 2, 3}, nil), "port 2 of r is available and leased"},
		{"twice", of([]int{1, 3}, []int{2, 2}), "listed twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := portsAmiss(tt.r, map[int]bool{2: true}, map[int]bool{1: true}); !strings.Contains(got, tt.says) || (got == "") != (tt.says == "") {
				t.Errorf("it says %q, want %q", got, tt.says)
			}
		})
	}
}
