package bench_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestFigures(t *testing.T) {
	f := figures{"a": {10, 30, 20, 40}, "b": {1, 2, 4, 5}}
	if got := f.median("a"); got != 25 {
		t.Errorf("the median is %v", got)
	}
	if got := f.median("none"); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
	if got := f.ratio("a", "b"); got != 9 { // of 10, 15, 5 and 8
		t.Errorf("the ratio is %v", got)
	}
	if got := f.difference("a", "b"); got != 22 { // of 9, 28, 16 and 35
		t.Errorf("the difference is %v", got)
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for _, tt := range []struct {
		list       []float64
		hundredths int
		want       float64
	}{
		{hundred, 99, 99}, {hundred, 50, 50}, {hundred, 100, 100}, {hundred, 0, 1},
		{[]float64{3, 1, 2}, 99, 3}, {[]float64{3, 1, 2}, 50, 2}, {[]float64{7}, 99, 7}, {nil, 99, 0},
	} {
		if got := percentile(tt.list, tt.hundredths); got != tt.want {
			t.Errorf("%d of a hundred in a list of %d are up to %v, not %v", tt.hundredths, len(tt.list), got, tt.want)
		}
	}
}

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0.00", 0.456: "0.46", 9.994: "9.99", 12.34: "12.3", 99.94: "99.9",
		123.4: "123", 1234: "1,230", 92_061: "92,100", 1_234_567: "1,230,000",
	} {
		if got := figure(v); got != want {
			t.Errorf("%v is %q, not %q", v, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	var text strings.Builder
	writeTable(&text, []row{
		{what: "work", unit: ms, ours: 2, floor: "none", beside: 1, ratio: "2.00×", target: "≤ 3×"},
		{what: "alone", unit: ms, ours: 5},
	})
	want := `| what | measured | floor | ratio | target |
|---|---|---|---|---|
| work | 2.00 ms | none: 1.00 ms | 2.00× | ≤ 3× |
| alone | 5.00 ms | – | – | – |
`
	if text.String() != want {
		t.Errorf("the table is\n%s\nnot\n%s", text.String(), want)
	}
}

func TestTrivialServer(t *testing.T) {
	path := trivial(t)
	ports := rawPorts(3)
	all := startRaw(t, path, len(ports), func(i int) (args, env []string) {
		if i == 0 {
			return []string{strconv.Itoa(ports[i])}, nil
		}
		return nil, []string{"PORT=" + strconv.Itoa(ports[i])}
	})
	defer all.end(t)
	if err := connectAll(ports); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "stamp")
	before := monotonic(t)
	stamped := startRaw(t, path, 1, func(int) (args, env []string) { return []string{"stamp", file}, os.Environ() })
	defer stamped.end(t)
	if at := awaitStamp(t, file); at < before || at > monotonic(t) {
		t.Errorf("main began at %v, which is not between %v and now", at, before)
	}
}
