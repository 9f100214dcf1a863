package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"berth/api"
	"berth/launcher"
	"berth/lease"
)

// pageOf gets one page, and the address of the next one, "" where there is none.
func pageOf(t *testing.T, r *rig, at string) (items []map[string]any, next string) {
	t.Helper()
	resp, err := r.client.Get("http://berth" + at)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&items); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(at, resp.StatusCode, err)
	}
	link := resp.Header.Get("Link")
	if link == "" {
		return items, ""
	}
	next, ok := strings.CutPrefix(link, "<")
	next, ok2 := strings.CutSuffix(next, `>; rel="next"`)
	if !ok || !ok2 {
		t.Fatalf("%s: Link is %q", at, link)
	}
	return items, next
}

// The pages of a list make up the list, whatever their size; what comes and goes
// between two pages makes nothing else missing or double.
func TestPages(t *testing.T) {
	r := newRig(t)
	for i := range 9 {
		r.processes.processes = append(r.processes.processes, newProcess(i+1))
		r.processes.distributions = append(r.processes.distributions, launcher.Distribution{Name: "d" + strconv.Itoa(i/3), Version: "1." + strconv.Itoa(i%3) + " a/b", DeployedAt: began})
		r.leases.leases = append(r.leases.leases, lease.Lease{ID: lease.ID("l" + strconv.Itoa(9-i)), Protocol: [...]lease.Protocol{lease.TCP, lease.TCP, lease.UDP}[i/3], Port: 998 + i%6, Since: began})
	}
	keys := map[string]func(map[string]any) string{
		"/v1/processes":     func(p map[string]any) string { return fmt.Sprint(p["id"]) },
		"/v1/leases":        func(l map[string]any) string { return fmt.Sprint(l["id"]) },
		"/v1/distributions": func(d map[string]any) string { return fmt.Sprint(d["name"], d["version"]) },
	}
	for path, key := range keys {
		all, next := pageOf(t, r, path)
		if len(all) != 9 || next != "" {
			t.Fatalf("%s: %d items, then %q", path, len(all), next)
		}
		for size := 1; size <= 10; size++ {
			var got []string
			pages := 0
			for at := fmt.Sprintf("%s?limit=%d", path, size); at != ""; pages++ {
				var items []map[string]any
				if items, at = pageOf(t, r, at); len(items) > size || len(items) == 0 || pages > len(all) {
					t.Fatalf("%s in pages of %d: page %d has %d", path, size, pages, len(items))
				}
				for _, item := range items {
					got = append(got, key(item))
				}
			}
			var want []string
			for _, item := range all {
				want = append(want, key(item))
			}
			if !slices.Equal(got, want) || pages != (len(all)+size-1)/size {
				t.Errorf("%s in %d pages of %d: %v, want %v", path, pages, size, got, want)
			}
		}
	}

	// The last one of a page goes, and one comes that belongs to the page before.
	_, next := pageOf(t, r, "/v1/leases?limit=3")
	r.leases.leases = append([]lease.Lease{{ID: "new", Protocol: lease.TCP, Port: 5}}, slices.Delete(r.leases.leases, 2, 3)...)
	if items, _ := pageOf(t, r, next); len(items) != 3 || items[0]["id"] != "l6" {
		t.Errorf("after a change: %v", items)
	}

	// The parameters that select go on.
	if _, next := pageOf(t, r, "/v1/processes?limit=2&name=http*&usage=true"); !strings.Contains(next, "name=http%2A") || !strings.Contains(next, "usage=true") || !strings.Contains(next, "after=2") {
		t.Errorf("the next page is %q", next)
	}
	for _, query := range []string{"after=x", "after=1%2f2", "limit=-1", "limit=x", "limit=100001"} {
		if p := r.problem(t, "GET", "/v1/processes?"+query, ""); p.Code != api.CodeInvalid || !strings.HasPrefix(p.Detail, "query.") && !strings.Contains(p.Detail, ": query.") {
			t.Errorf("%s: %+v", query, p)
		}
	}
}
