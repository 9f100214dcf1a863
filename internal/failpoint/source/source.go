// Package source finds the failpoints and the planted bugs in the source of Berth, for tests.
package source

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Point is a failpoint, or a place that is different in a program with a planted bug.
type Point struct {
	Name  string
	Fails bool // an error can come there: it is a failpoint.Fail, not an At
	Place token.Position
}

// Points returns the failpoints of all programs below a folder, without those of
// tests. The points that have no text as their name are an error, and are left out.
func Points(root string) ([]Point, error) { return calls(root, "At", "Fail") }

// Planted returns the places of planted bugs in the same way.
func Planted(root string) ([]Point, error) { return calls(root, "Planted") }

// calls returns where functions of package failpoint are called.
func calls(root string, functions ...string) (points []Point, err error) {
	files := token.NewFileSet()
	var nameless []error
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			function, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains(functions, function.Sel.Name) {
				return true
			}
			if of, ok := function.X.(*ast.Ident); !ok || of.Name != "failpoint" {
				return true
			}
			p := Point{Fails: function.Sel.Name == "Fail", Place: files.Position(call.Pos())}
			text, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				nameless = append(nameless, fmt.Errorf("%v: the name of a point has to be a text", p.Place))
				return true
			}
			name, err := strconv.Unquote(text.Value)
			if err != nil {
				nameless = append(nameless, fmt.Errorf("%v: %s: %w", p.Place, text.Value, err))
				return true
			}
			p.Name = name
			points = append(points, p)
			return true
		})
		return nil
	})
	return points, errors.Join(append(nameless, err)...)
}
