package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
)

const module = "gvpn"

// root is the module's root, from this package's folder, where go test runs.
const root = "../.."

// file is one Go file of the module. path is slash-separated and relative to the root; dir is its folder, "" for the root.
type file struct {
	path, dir string
	test      bool
	src       []byte
	fset      *token.FileSet
	ast       *ast.File
}

// imports lists the file's import paths.
func (f *file) imports() []string {
	var paths []string
	for _, spec := range f.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

// name gives the name by which the file knows an imported package, "" if it does not import it.
func (f *file) name(path string) string {
	for _, spec := range f.ast.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err != nil || p != path {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		base := path[strings.LastIndexByte(path, '/')+1:]
		return base
	}
	return ""
}

// parse reads one source as the file at path.
func parse(path string, src []byte) (*file, error) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	dir := filepath.ToSlash(filepath.Dir(path))
	if dir == "." {
		dir = ""
	}
	return &file{path: path, dir: dir, test: strings.HasSuffix(path, "_test.go"), src: src, fset: fset, ast: tree}, nil
}

// source reads every Go file of the module, in order of path. Folders that go build ignores and nested modules are left
// out.
func source(t *testing.T) []*file {
	t.Helper()
	var files []*file
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			base := d.Name()
			if rel == "." {
				return nil
			}
			if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "bin" {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(p, "go.mod")); err == nil {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		f, err := parse(rel, src)
		if err != nil {
			t.Errorf("%v", err)
			return nil
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("archtest: no Go file found")
	}
	return files
}

// packages groups files by folder; dirs is sorted.
func packages(files []*file) (dirs []string, byDir map[string][]*file) {
	byDir = map[string][]*file{}
	for _, f := range files {
		if byDir[f.dir] == nil {
			dirs = append(dirs, f.dir)
		}
		byDir[f.dir] = append(byDir[f.dir], f)
	}
	sort.Strings(dirs)
	return dirs, byDir
}
