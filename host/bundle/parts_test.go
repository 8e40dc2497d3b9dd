package bundle

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// TestSmallModule keeps the file that tests of other packages pack plugins of.
func TestSmallModule(t *testing.T) {
	file, err := os.ReadFile("testdata/small.wasm")
	if err != nil || !bytes.Equal(file, small) {
		t.Fatalf("testdata/small.wasm is not the module of these tests: %v", err)
	}
}

func assets(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	archive, err := PackAssets(files)
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

// goModule is a module that says what it was built of, as Go's linker writes it.
func goModule() []byte {
	return append(bytes.Clone(small), custom("data", []byte(goInfoStart+"path\tcorp.test/trial\nmod\tcorp.test/trial\t(devel)\t\n"+
		"dep\tcorp.test/Lib\tv1.2.3+incompatible\th1:abc=\ndep\tcorp.test/forked\tv1.0.0\th1:def=\n=>\tcorp.test/fork\tv1.0.1\th1:ghi=\n"+
		"dep\tcorp.test/near\tv0.0.0\t\n=>\t/home/author/near\t(devel)\t\nbuild\tGOOS=wasip1\n"+goInfoEnd))...)
}

func TestPackAll(t *testing.T) {
	manifest, err := ManifestFromYAML([]byte(good), "plugin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"README.md": []byte("# Trial\n"), "docs/use.md": bytes.Repeat([]byte("use it\n"), 200), "tests/empty.yaml": nil}
	head := abi.Manifest{Plugin: "trial", Version: "1.0.0", License: "Apache-2.0"}
	bill, err := SBOM(goModule(), &head)
	if err != nil {
		t.Fatal(err)
	}
	parts := Parts{Manifest: manifest, Assets: assets(t, files), SBOM: bill}
	once, err := parts.Pack(goModule())
	if err != nil {
		t.Fatal(err)
	}
	again, err := parts.Pack(once)
	if err != nil || !bytes.Equal(once, again) {
		t.Errorf("packing a package with its own parts changes it: %v", err)
	}
	if _, err := Open(once); err != nil {
		t.Fatal(err)
	}
	if kept, err := Pack(once, manifest); err != nil || !bytes.Equal(kept, once) {
		t.Errorf("a new manifest does not leave the other parts alone: %v", err)
	}
	c, err := Inspect(once)
	if err != nil {
		t.Fatal(err)
	}
	if c.Digest != digest(once) || c.Size != len(once) || !reflect.DeepEqual(c.Imports, []string{"riposte:http/v1.fetch"}) ||
		!reflect.DeepEqual(c.Exports, []string{"block", "blocked", "unblock"}) || !bytes.Equal(c.SBOM, bill) || len(c.Assets) != len(files) {
		t.Errorf("got %+v", c)
	}
	for _, a := range c.Assets {
		if !bytes.Equal(a.Data, files[a.Name]) || a.Size != len(a.Data) {
			t.Errorf("%s is %q", a.Name, a.Data)
		}
	}
	var names []string
	for _, s := range c.Sections {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "type import function memory export code data riposte.sbom riposte.assets riposte.manifest" {
		t.Error(got)
	}
}

func TestSBOM(t *testing.T) {
	bill, err := SBOM(goModule(), &abi.Manifest{Plugin: "trial", Version: "1.0.0", License: "Apache-2.0"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"$schema":"http://cyclonedx.org/schema/bom-1.6.schema.json","bomFormat":"CycloneDX","specVersion":"1.6","version":1,` +
		`"metadata":{"component":{"type":"application","name":"trial","version":"1.0.0","licenses":[{"expression":"Apache-2.0"}]}},"components":[` +
		`{"type":"library","name":"corp.test/trial","purl":"pkg:golang/corp.test/trial"},` +
		`{"type":"library","name":"corp.test/Lib","version":"v1.2.3+incompatible","purl":"pkg:golang/corp.test/lib@v1.2.3%2Bincompatible","properties":[{"name":"golang:sum","value":"h1:abc="}]},` +
		`{"type":"library","name":"corp.test/fork","version":"v1.0.1","purl":"pkg:golang/corp.test/fork@v1.0.1","properties":[{"name":"golang:sum","value":"h1:ghi="}]},` +
		`{"type":"library","name":"corp.test/near","version":"v0.0.0","purl":"pkg:golang/corp.test/near@v0.0.0"}]}`
	if string(bill) != want {
		t.Errorf("got\n%s\nwant\n%s", bill, want)
	}
	if bill, err := SBOM(small, &abi.Manifest{}); bill != nil || err != nil {
		t.Errorf("a module without build information has the bill %s (%v)", bill, err)
	}
}

func TestEngineComponent(t *testing.T) {
	engine := append(Blank(), custom(SBOMSection, []byte(`{"type":"platform","name":"Lua","version":"5.4.6","licenses":[{"expression":"MIT"}],"purl":"pkg:generic/lua@5.4.6"}`))...)
	hash := strings.TrimPrefix(digest(engine), "sha256:")
	got, err := EngineComponent("lua@5.4", engine)
	if want := (Component{Type: "platform", Name: "Lua", Version: "5.4.6", Hashes: []Hash{{"SHA-256", hash}}, Licenses: []License{{"MIT"}}, PURL: "pkg:generic/lua@5.4.6"}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := EngineComponent("lua@5.4", Blank()); err != nil || got.Name != "lua@5.4" || len(got.Hashes) != 1 {
		t.Errorf("an engine that says nothing: %+v, %v", got, err)
	}
	if _, err := EngineComponent("lua@5.4", append(Blank(), custom(SBOMSection, []byte("Lua"))...)); err == nil || !strings.Contains(err.Error(), "lua@5.4") {
		t.Errorf("an engine that says nonsense: %v", err)
	}
}

func TestAssetsThatAreRefused(t *testing.T) {
	for _, name := range []string{"", ".", "/etc/passwd", "../up", "a/../b", "a//b", "a\\b", "c:d", "line\nfeed", "ü", strings.Repeat("x", 101)} {
		if _, err := PackAssets(map[string][]byte{name: nil}); err == nil {
			t.Errorf("the name %q is accepted", name)
		}
	}
	if _, err := PackAssets(map[string][]byte{"big": make([]byte, MaxAssets+1)}); err == nil {
		t.Error("an asset of any size is accepted")
	}
	written := func(headers ...tar.Header) []byte {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		for i := range headers {
			if err := w.WriteHeader(&headers[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	good := assets(t, map[string][]byte{"a": []byte("text"), "b": nil})
	for name, archive := range map[string][]byte{
		"link":      written(tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "/etc/passwd"}),
		"folder":    written(tar.Header{Typeflag: tar.TypeDir, Name: "a/"}),
		"climbs":    written(tar.Header{Typeflag: tar.TypeReg, Name: "../a"}),
		"twice":     written(tar.Header{Typeflag: tar.TypeReg, Name: "a"}, tar.Header{Typeflag: tar.TypeReg, Name: "a"}),
		"disorder":  written(tar.Header{Typeflag: tar.TypeReg, Name: "b"}, tar.Header{Typeflag: tar.TypeReg, Name: "a"}),
		"long name": written(tar.Header{Typeflag: tar.TypeReg, Name: strings.Repeat("x", 300)}),
		"cut off":   good[:600],
		"garbage":   bytes.Repeat([]byte("garbage "), 200),
		"too large": make([]byte, MaxAssets+1),
	} {
		if got, err := ReadAssets(archive); err == nil {
			t.Errorf("%s: accepted as %+v", name, got)
		} else if abi.AsFault(err).Kind != abi.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPartsThatAreRefused(t *testing.T) {
	file := packed(t, small, good)
	for name, section := range map[string][]byte{
		"damaged assets": custom(AssetsSection, []byte("no archive")),
		"bill":           custom(SBOMSection, []byte("{")),
		"large bill":     custom(SBOMSection, []byte(`"`+strings.Repeat("x", MaxSBOM)+`"`)),
		"two bills":      append(custom(SBOMSection, []byte("{}")), custom(SBOMSection, []byte("{}"))...),
	} {
		if _, err := Open(append(bytes.Clone(file), section...)); err == nil || abi.AsFault(err).Kind != abi.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadAssets(f *testing.F) {
	archive, err := PackAssets(map[string][]byte{"README.md": []byte("text"), "docs/a": bytes.Repeat([]byte("x"), 600)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(archive)
	f.Add(archive[:1100])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, archive []byte) {
		list, err := ReadAssets(archive)
		if err != nil {
			return
		}
		files := map[string][]byte{}
		for _, a := range list {
			files[a.Name] = a.Data
		}
		if len(files) != len(list) {
			t.Fatal("a name occurs twice")
		}
		again, err := PackAssets(files)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ReadAssets(again); err != nil || !reflect.DeepEqual(back, list) && len(list) > 0 {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}

func FuzzInspect(f *testing.F) {
	f.Add(goModule())
	f.Add([]byte(goInfoStart + "path\tx\n" + goInfoEnd))
	f.Fuzz(func(t *testing.T, file []byte) {
		if _, err := SBOM(file, &abi.Manifest{}); err != nil {
			t.Error(err)
		}
		c, err := Inspect(file)
		if err != nil {
			return
		}
		total := 8
		for _, s := range c.Sections {
			total += s.Size
		}
		if total != len(file) {
			t.Errorf("the sections make %d bytes of %d", total, len(file))
		}
		if _, err := json.Marshal(c); err != nil {
			t.Error(err)
		}
	})
}
