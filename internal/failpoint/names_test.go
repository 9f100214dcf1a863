package failpoint_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const fewestNames = 45

// Each name is a text that stands at one place of the source.
func TestNames(t *testing.T) {
	wellFormed := regexp.MustCompile(`^[a-z]+/[a-z]+$`)
	at := map[string]token.Position{}
	files := token.NewFileSet()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
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
			if !ok || function.Sel.Name != "At" && function.Sel.Name != "Fail" {
				return true
			}
			if of, ok := function.X.(*ast.Ident); !ok || of.Name != "failpoint" {
				return true
			}
			here := files.Position(call.Pos())
			text, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				t.Errorf("%v: the name of a point has to be a text", here)
				return true
			}
			name, err := strconv.Unquote(text.Value)
			if err != nil || !wellFormed.MatchString(name) {
				t.Errorf("%v: %s is not like part/step", here, text.Value)
			}
			if there, twice := at[name]; twice {
				t.Errorf("%v: the point %s is at %v already", here, name, there)
			}
			at[name] = here
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(at) < fewestNames {
		t.Errorf("there are %d points, fewer than %d", len(at), fewestNames)
	}
}
