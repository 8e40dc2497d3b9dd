package server

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/engines"
	"github.com/riposte-soar/riposte/host/trust"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/plugins"
	"github.com/riposte-soar/riposte/server/document"
)

// Files in the folder of content that say which plugins may run.
const (
	TrustFile = "trust.yaml"
	LockFile  = "riposte.lock"
)

// EnginesDir is the folder of content with the engines that installed plugins run in. Nothing vouches for them but their digests: a package
// names the one that it runs in, and its own digest is what is signed and locked.
const EnginesDir = "engines"

// SignatureSuffix makes the name of a signature of the name of its package, as minisign does.
const SignatureSuffix = ".minisig"

// Plugins are the packages that a server has, by name of the plugin.
type Plugins struct {
	Bundles map[string]*bundle.Bundle
	// Held tells, by digest, why nothing of a package runs until somebody grants what it asks for.
	Held map[string]*abi.Fault
	// Isolated are the digests of packages that run in processes of their own.
	Isolated map[string]bool
}

// PluginsDir is the folder of plugins beside the built-in ones: the one that is named, or plugins/ in the content, if it is there; or none.
func (o *Options) PluginsDir() string {
	dir := cmp.Or(o.Plugins.Dir, filepath.Join(o.Content, "plugins"))
	if info, err := os.Stat(dir); o.Plugins.Dir == "" && (err != nil || !info.IsDir()) {
		return ""
	}
	return dir
}

// Engines is where the engines of plugins lie: in the content, or else where those of the user lie.
func (o *Options) Engines() engines.Folders {
	return engines.After(engines.Folder(filepath.Join(o.Content, EnginesDir)))
}

// OpenPlugins opens the built-in plugins, which are trusted by being built in, and those of the folder, each of which must be signed with a
// key of the trust list and, where there is a lock, be the one in it; an engine that it runs in must be there. One of the folder wins over a
// built-in one of the same name. All that is refused comes back at once.
func OpenPlugins(o Options) (*Plugins, error) {
	builtIn, err := BuiltIn()
	if err != nil {
		return nil, err
	}
	lock, err := LoadLock(o.Content)
	if err != nil {
		return nil, err
	}
	keys, err := LoadTrust(o.Content)
	if err != nil {
		return nil, err
	}
	files, err := packages(o.PluginsDir())
	if err != nil {
		return nil, err
	}
	all := &Plugins{Bundles: builtIn, Held: map[string]*abi.Fault{}, Isolated: map[string]bool{}}
	var refused []error
	from := map[string]string{} // plugin to file
	engineIsThere := o.engineCheck()
	for _, file := range files {
		b, trusted, err := o.admit(file, keys, lock)
		if err == nil && from[b.Manifest.Plugin] != "" {
			err = fmt.Errorf("plugin %s is in %s already", b.Manifest.Plugin, from[b.Manifest.Plugin])
		}
		if err == nil {
			err = engineIsThere(b)
		}
		if err != nil {
			refused = append(refused, inFile(file, err))
			continue
		}
		from[b.Manifest.Plugin] = file
		all.Bundles[b.Manifest.Plugin] = b
		all.Isolated[b.Digest] = !trusted
		if lock != nil {
			if f := lock.Held(b); f != nil {
				all.Held[b.Digest] = f
			}
		}
	}
	if o.Plugins.Isolation == isolationProcess {
		for _, b := range all.Bundles {
			all.Isolated[b.Digest] = true
		}
	}
	if refused == nil && lock != nil {
		for _, name := range lock.Names() {
			if from[name] == "" {
				refused = append(refused, abi.NewFault(abi.NotFound, fmt.Sprintf("plugin %s is in %s, but its package is not there", name, LockFile),
					fmt.Sprintf("install it again, or take it out: riposte plugin remove %s", name)))
			}
		}
	}
	return all, errors.Join(refused...)
}

// engineCheck gives a function that says whether the engine of a package is there, and whole. Each engine is read once.
func (o *Options) engineCheck() func(*bundle.Bundle) error {
	folders, found := o.Engines(), map[string]error{"": nil} // by digest
	return func(b *bundle.Bundle) error {
		err, known := found[b.Engine()]
		if !known {
			_, err = folders.Read(b.Engine())
			found[b.Engine()] = err
		}
		return err
	}
}

// BuiltIn opens the built-in plugins.
func BuiltIn() (map[string]*bundle.Bundle, error) {
	all := map[string]*bundle.Bundle{}
	for name, load := range plugins.All() {
		b, err := bundle.OpenFunc(load)
		if err != nil {
			return nil, fmt.Errorf("built-in plugin %s: %w", name, err)
		}
		all[b.Manifest.Plugin] = b
	}
	return all, nil
}

// packages lists the packages of a folder, if there is one.
func packages(dir string) ([]string, error) {
	if dir == "" {
		return nil, nil
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("folder of plugins: %w", err)
	}
	return filepath.Glob(filepath.Join(dir, "*.wasm"))
}

// admit opens a package of the folder if it may run. Whether it is trusted to run in the server's own process says the key that signed it.
func (o *Options) admit(file string, keys trust.List, lock *trust.Lock) (b *bundle.Bundle, trusted bool, err error) {
	if b, err = bundle.OpenFile(file); err != nil {
		return nil, false, err
	}
	at := time.Now()
	if o.Now != nil {
		at = o.Now()
	}
	if lock != nil {
		if err := lock.Check(b); err != nil {
			return nil, false, err
		}
		at = lock.Plugins[b.Manifest.Plugin].Installed // a key that runs out later does not stop what it vouched for
	}
	var key trust.Key
	signature, err := ReadSignature(file)
	if err == nil {
		key, err = keys.Verify(b, signature, at)
	}
	if err != nil && o.Plugins.UnsignedAllowed() {
		return b, false, nil
	}
	return b, !key.Isolated, err
}

// inFile names the file that an error is about.
func inFile(file string, err error) error {
	var f *abi.Fault
	if errors.As(err, &f) && f.Where == "" {
		named := *f
		named.Where = file
		return &named
	}
	return fmt.Errorf("plugin %s: %w", file, err)
}

// ReadSignature reads the signature that lies beside a package.
func ReadSignature(file string) ([]byte, error) {
	f, err := os.Open(file + SignatureSuffix)
	if errors.Is(err, os.ErrNotExist) {
		return nil, abi.NewFault(abi.Refused, "the plugin is not signed: there is no "+filepath.Base(file)+SignatureSuffix,
			"its author signs it with riposte plugin sign; `plugins: {unsigned: allow}` in riposte.yaml takes unsigned plugins")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, trust.MaxSignature+1))
}

// LoadLock reads riposte.lock in a folder of content; nil if there is none.
func LoadLock(content string) (*trust.Lock, error) {
	name := filepath.Join(content, LockFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // no lock is no error
	}
	if err != nil {
		return nil, err
	}
	return trust.ParseLock(name, text)
}

// trustFile is trust.yaml.
type trustFile struct {
	Keys []trustedKey `yaml:"keys,required"`
}

type trustedKey struct {
	Name       *document.Node   `yaml:"name,required"`
	Key        *document.Node   `yaml:"key,required"`
	Plugins    []*document.Node `yaml:"plugins,required"`
	MaxVersion *document.Node   `yaml:"max_version"`
	NotAfter   *document.Node   `yaml:"not_after"`
	Isolation  *document.Node   `yaml:"isolation"`
}

// LoadTrust reads trust.yaml in a folder of content; without one nobody is trusted.
func LoadTrust(content string) (trust.List, error) {
	name := filepath.Join(content, TrustFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, problems := ParseTrust(name, text)
	return list, problems.Err()
}

// ParseTrust reads a trust list; name is that of the file, for errors.
func ParseTrust(name string, text []byte) (trust.List, document.Problems) {
	root, problems := document.Parse(name, text)
	if problems != nil {
		return nil, problems
	}
	var f trustFile
	if problems = root.Decode(&f); len(problems) > 0 {
		return nil, problems
	}
	var list trust.List
	for i := range f.Keys {
		k, wrong := f.Keys[i].read()
		problems = append(problems, wrong...)
		if slices.ContainsFunc(list, func(o trust.Key) bool { return o.Name == k.Name || o.Public.ID() == k.Public.ID() }) && len(wrong) == 0 {
			problems = append(problems, f.Keys[i].Name.Problem("a key of this name or number is on the list already", "one entry for each key"))
		}
		list = append(list, k)
	}
	return list, problems
}

func (t *trustedKey) read() (trust.Key, document.Problems) {
	k := trust.Key{Name: t.Name.Text()}
	var problems document.Problems
	check := func(n *document.Node, err error) {
		if f := abi.AsFault(err); f != nil {
			problems = append(problems, n.Problem(f.Message, f.Hint))
		}
	}
	if k.Name == "" {
		problems = append(problems, t.Name.Problem("expected the name of the key's owner", ""))
	}
	var err error
	k.Public, err = trust.ParseKey(t.Key.Text())
	check(t.Key, err)
	for _, p := range t.Plugins {
		check(p, trust.CheckPattern(p.Text()))
		k.Plugins = append(k.Plugins, p.Text())
	}
	if n := t.MaxVersion; n != nil {
		if k.MaxVersion = n.Text(); !trust.ValidVersion(k.MaxVersion) {
			problems = append(problems, n.Problem("expected a version", "such as 1.2.0"))
		}
	}
	if n := t.NotAfter; n != nil {
		day, err := time.Parse(time.DateOnly, n.Text())
		if err != nil {
			problems = append(problems, n.Problem("expected a day", "such as 2027-12-31, which is the last day in UTC"))
		}
		k.NotAfter = day.Add(24*time.Hour - time.Nanosecond)
	}
	if n := t.Isolation; n != nil {
		if k.Isolated = n.Text() == isolationProcess; !k.Isolated && n.Text() != isolationAuto {
			problems = append(problems, n.Problem(wrongIsolation, ""))
		}
	}
	return k, problems
}
