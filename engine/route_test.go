package engine

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// outputTypes are the types of a package that have the method IsOutput, as "package.Type".
func outputTypes(t *testing.T, dir string) (types []string) {
	t.Helper()
	for name, tree := range parseDir(t, dir) {
		for _, d := range tree.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil || f.Name.Name != "IsOutput" {
				continue
			}
			x := f.Recv.List[0].Type
			if star, ok := x.(*ast.StarExpr); ok {
				x = star.X
			}
			ident, ok := x.(*ast.Ident)
			if !ok {
				t.Fatalf("%s: IsOutput of %T", name, x)
			}
			types = append(types, tree.Name.Name+"."+ident.Name)
		}
	}
	slices.Sort(types)
	return types
}

func parseDir(t *testing.T, dir string) map[string]*ast.File {
	t.Helper()
	fset := token.NewFileSet()
	packages, err := parser.ParseDir(fset, dir, nil, parser.SkipObjectResolution) //nolint:staticcheck // one package a folder
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]*ast.File{}
	for _, p := range packages {
		for name, f := range p.Files {
			if !strings.HasSuffix(name, "_test.go") {
				files[name] = f
			}
		}
	}
	return files
}

// cases are the case expressions of the first switch in a function, as they are written.
func cases(t *testing.T, file, function string) (words []string) {
	t.Helper()
	for name, tree := range parseDir(t, ".") {
		if name != file {
			continue
		}
		for _, d := range tree.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Name.Name != function {
				continue
			}
			first := true
			ast.Inspect(f.Body, func(n ast.Node) bool {
				var body *ast.BlockStmt
				switch s := n.(type) {
				case *ast.TypeSwitchStmt:
					body = s.Body
				case *ast.SwitchStmt:
					body = s.Body
				default:
					return true
				}
				if !first {
					return false
				}
				first = false
				for _, c := range body.List {
					for _, e := range c.(*ast.CaseClause).List {
						if sel, ok := e.(*ast.SelectorExpr); ok {
							words = append(words, sel.X.(*ast.Ident).Name+"."+sel.Sel.Name)
						}
					}
				}
				return false
			})
		}
	}
	if len(words) == 0 {
		t.Fatalf("%s: no cases found in %s", file, function)
	}
	slices.Sort(words)
	return words
}

// An output type that nobody routes would be a panic in the field: each has its case, and each case its type.
func TestEveryOutputHasARoute(t *testing.T) {
	var types []string
	for _, dir := range []string{"../turn", "../ike", "../server", "../cluster", "../member"} {
		types = append(types, outputTypes(t, dir)...)
	}
	slices.Sort(types)
	if len(types) < 20 {
		t.Fatalf("only %d output types found: %q", len(types), types)
	}
	if got := cases(t, "route.go", "route"); !slices.Equal(got, types) {
		t.Errorf("route has cases for\n%q\nand the engines' outputs are\n%q", got, types)
	}
}

// Every effect of the tables has an engine that carries it out.
func TestEveryEffectHasAnEngine(t *testing.T) {
	kinds := map[string]string{}
	for _, tree := range parseDir(t, "../commit/step") {
		for _, d := range tree.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				if typ, ok := v.Type.(*ast.Ident); !ok || typ.Name != "Kind" {
					continue
				}
				value, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				kinds["step."+v.Names[0].Name] = value
			}
		}
	}
	if want, got := slices.Sorted(maps.Keys(kinds)), cases(t, "apply.go", "apply"); !slices.Equal(got, want) {
		t.Errorf("apply has cases for\n%q\nand the effects are\n%q", got, want)
	}
}
