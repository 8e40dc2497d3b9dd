package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
)

// goType is a struct of pdk/abi, as its JSON.
type goType struct {
	comment string
	fields  []field
}

type field struct {
	name, kind, comment string
	optional            bool
}

// readTypes reads the exported structs of Go files, with their comments.
func readTypes(files ...string) (map[string]*goType, error) {
	types := map[string]*goType{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, decl := range file.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, spec := range g.Specs {
				t := spec.(*ast.TypeSpec)
				if s, ok := t.Type.(*ast.StructType); ok && t.Name.IsExported() {
					types[t.Name.Name] = readType(t.Name.Name, g.Doc.Text(), s)
				}
			}
		}
	}
	return types, nil
}

func readType(name, comment string, s *ast.StructType) *goType {
	t := &goType{comment: strings.TrimPrefix(oneLine(comment), name+" ")}
	for _, f := range s.Fields.List {
		if f.Tag == nil || len(f.Names) != 1 {
			continue
		}
		tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json")
		key, options, _ := strings.Cut(tag, ",")
		if key == "-" {
			continue
		}
		comment := strings.TrimPrefix(oneLine(f.Doc.Text()), f.Names[0].Name+" ")
		if comment == "" {
			comment = oneLine(f.Comment.Text())
		}
		comment = strings.TrimPrefix(comment, "is ")
		t.fields = append(t.fields, field{key, kindOf(f.Type), comment, strings.Contains(options, "omitempty")})
	}
	return t
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// kindOf says what a Go type is in JSON.
func kindOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return kindOf(e.X)
	case *ast.ArrayType:
		if id, ok := e.Elt.(*ast.Ident); ok && id.Name == "byte" {
			return "base64"
		}
		return "list of " + kindOf(e.Elt)
	case *ast.MapType:
		return "map to " + kindOf(e.Value)
	case *ast.SelectorExpr:
		return "any" // json.RawMessage
	case *ast.Ident:
		switch e.Name {
		case "string", "Kind":
			return "string"
		case "bool":
			return "boolean"
		case "int", "int64", "uint32":
			return "integer"
		case "any":
			return "any"
		}
		return e.Name
	}
	return "any"
}

// write makes the table of a type.
func (t *goType) write(out *bytes.Buffer) {
	out.WriteString("| key | value | |\n|---|---|---|\n")
	for _, f := range t.fields {
		kind := f.kind
		if f.optional {
			kind += ", may be left out"
		}
		fmt.Fprintf(out, "| `%s` | %s | %s |\n", f.name, kind, cell(f.comment))
	}
}

// function is a host function with its types; an empty reply is an empty value.
type function struct{ name, request, reply string }

type functions map[string][]function // by kind of capability

// functionsOf finds the types of each host function by the comments in which they name it.
func functionsOf(types map[string]*goType) functions {
	all := functions{}
	for name, t := range types {
		rest, ok := strings.CutPrefix(t.comment, "is the request of ")
		if !ok {
			continue
		}
		list, _, _ := strings.Cut(rest, ":")
		list, _, _ = strings.Cut(list, ". ")
		reply := strings.TrimSuffix(name, "Request") + "Response"
		if types[reply] == nil {
			reply = ""
		}
		words := strings.FieldsFunc(strings.TrimSuffix(strings.ReplaceAll(list, " and ", ", "), "."), func(r rune) bool { return r == ',' || r == ' ' })
		kind, _, _ := strings.Cut(words[0], ".")
		all[kind] = append(all[kind], function{strings.Join(words, "`, `"), name, reply})
	}
	return all
}

func (f functions) write(out *bytes.Buffer, types map[string]*goType, kind string) error {
	if len(f[kind]) == 0 {
		return fmt.Errorf("no comment in pdk/abi names the request of a function of %s", kind)
	}
	for _, one := range f[kind] {
		verb := "takes"
		if strings.Contains(one.name, ",") {
			verb = "take"
		}
		fmt.Fprintf(out, "\n`%s` %s:\n\n", one.name, verb)
		types[one.request].write(out)
		if one.reply != "" {
			fmt.Fprintf(out, "\nand gives %s\n\n", strings.TrimPrefix(types[one.reply].comment, "is "))
			types[one.reply].write(out)
		}
	}
	return nil
}
