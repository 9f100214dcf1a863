package shell

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"charm.land/lipgloss/v2"
	"go.yaml.in/yaml/v3"
)

// output is where commands print. It is flushed when a command ended.
type output struct {
	*bufio.Writer
	terminal bool
	colour   bool
}

func newOutput(w io.Writer, terminal, colour bool) *output {
	return &output{Writer: bufio.NewWriterSize(w, 32<<10), terminal: terminal, colour: colour}
}

// printf prints. What goes wrong with it, Flush tells.
func (o *output) printf(format string, args ...any) { fmt.Fprintf(o, format, args...) }

// The styles of a terminal. Numbers are of its own palette, which its user chose.
func (o *output) style(text string, style lipgloss.Style) string {
	if !o.colour || text == "" {
		return text
	}
	return style.Render(text)
}

func (o *output) strong(text string) string {
	return o.style(text, lipgloss.NewStyle().Bold(true))
}

func (o *output) faint(text string) string {
	return o.style(text, lipgloss.NewStyle().Faint(true))
}

func (o *output) good(text string) string {
	return o.style(text, lipgloss.NewStyle().Foreground(lipgloss.Color("2")))
}

func (o *output) odd(text string) string {
	return o.style(text, lipgloss.NewStyle().Foreground(lipgloss.Color("3")))
}

func (o *output) bad(text string) string {
	return o.style(text, lipgloss.NewStyle().Foreground(lipgloss.Color("1")))
}

// table is rows in columns. A row with fewer cells than there are columns ends early.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// table prints t with aligned columns, two blanks between them. Lines have no
// blanks at their end. The library's own tables take 0.1 s for 500 rows.
func (o *output) table(t table) {
	rows := t.rows
	if t.head != nil {
		head := make([]string, len(t.head))
		for i, cell := range t.head {
			head[i] = o.strong(cell)
		}
		rows = append([][]string{head}, rows...)
	}
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], width(cell))
		}
	}
	for _, row := range rows {
		for len(row) > 0 && row[len(row)-1] == "" {
			row = row[:len(row)-1]
		}
		for i, cell := range row {
			o.WriteString(cell)
			if i < len(row)-1 {
				o.WriteString(strings.Repeat(" ", widths[i]-width(cell)+2))
			}
		}
		o.WriteByte('\n')
	}
}

// width is how many columns of a terminal text takes.
func width(text string) int {
	for i := range len(text) {
		if text[i] >= 0x80 || text[i] == 0x1b {
			return lipgloss.Width(text)
		}
	}
	return len(text)
}

// outputOption is the option of commands that print lists.
type outputOption struct {
	Output format `short:"o" default:"table" placeholder:"FORMAT" complete:"format" help:"print as table, json or yaml"`
}

// list prints things: as one array of them, or by what prints their table.
func list[T any](s *Shell, as format, things []T, asText func()) error {
	if s.count != nil {
		*s.count += len(things)
		return nil
	}
	if as == asTable {
		asText()
		return nil
	}
	if things == nil {
		things = []T{}
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(things); err != nil {
		return fmt.Errorf("encode as JSON: %w", err)
	}
	if as == asJSON {
		_, err := s.out.Write(text.Bytes())
		return err
	}
	// JSON is YAML; read as a tree it keeps its keys and their order.
	var tree yaml.Node
	if err := yaml.Unmarshal(text.Bytes(), &tree); err != nil {
		return fmt.Errorf("encode as YAML: %w", err)
	}
	block(&tree)
	y := yaml.NewEncoder(s.out)
	y.SetIndent(2)
	if err := y.Encode(&tree); err != nil {
		return fmt.Errorf("encode as YAML: %w", err)
	}
	return y.Close()
}

// block makes a tree be written in lines. An empty list stays [].
func block(n *yaml.Node) {
	if len(n.Content) > 0 {
		n.Style = 0
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		n.Style = 0 // the encoder quotes where it must
	}
	for _, child := range n.Content {
		block(child)
	}
}
