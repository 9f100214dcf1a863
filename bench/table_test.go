package bench_test

import (
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"testing"
)

// row is a line of the table: a figure beside its floor.
type row struct {
	what   string
	unit   string
	ours   float64
	floor  string // what it is
	beside float64
	ratio  string // ours to the floor's, as the target counts
	target string
}

// table collects the rows of a run.
var table struct {
	sync.Mutex
	rows []row
}

func addRow(r row) {
	table.Lock()
	defer table.Unlock()
	table.rows = append(table.rows, r)
}

// report adds the median of a series beside its floor to the benchmark's line
// and to the table.
func (f figures) report(b *testing.B, what, unit, ours, floor, target string) {
	b.ReportMetric(f.median(ours), unit)
	b.ReportMetric(f.median(floor), "floor-"+unit)
	b.ReportMetric(f.ratio(ours, floor), "x-floor")
	f.row(what, unit, ours, floor, target)
}

// row adds a line to the table alone.
func (f figures) row(what, unit, ours, floor, target string) {
	addRow(row{
		what: what, unit: unit, ours: f.median(ours), floor: floor, beside: f.median(floor),
		ratio: fmt.Sprintf("%.2f×", f.ratio(ours, floor)), target: target,
	})
}

// writeTable writes the rows as a table in Markdown.
func writeTable(w io.Writer, rows []row) {
	fmt.Fprintln(w, "| what | measured | floor | ratio | target |\n|---|---|---|---|---|")
	for _, r := range rows {
		floor := "–"
		if r.floor != "" {
			floor = fmt.Sprintf("%s: %s %s", r.floor, figure(r.beside), r.unit)
		}
		cells := []string{r.what, figure(r.ours) + " " + r.unit, floor, r.ratio, r.target}
		for i, c := range cells {
			if c == "" {
				cells[i] = "–"
			}
		}
		fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
	}
}

// figure writes a figure with three digits that count, thousands parted.
func figure(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.*f", max(0, 2-int(math.Floor(math.Log10(max(v, 1))))), v)
	}
	unit := math.Pow(10, max(0, math.Floor(math.Log10(v))-2))
	text := fmt.Sprintf("%.0f", math.Round(v/unit)*unit)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
