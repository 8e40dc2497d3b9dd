package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/trust"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/plugins/author"
	"github.com/riposte-soar/riposte/server"
)

func keygenCommand(c *client) *cobra.Command {
	var open bool
	cmd := &cobra.Command{Use: "keygen NAME", Short: "Make a key to sign plugins with: NAME.key, which is secret, and NAME.pub",
		Long: "Make a key to sign plugins with, in the format of minisign. The password that encrypts it is asked for on a terminal,\nor read from standard input.",
		Args: exactly(1, "a name for the files"), RunE: func(cmd *cobra.Command, args []string) error {
			for _, file := range []string{args[0] + ".key", args[0] + ".pub"} { // before somebody thinks of a password
				if exists(file) {
					return inFile(file, fs.ErrExist, "")
				}
			}
			password := ""
			if open {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s.key is not encrypted: who reads it can sign as you (it is written with mode 0600)\n", args[0])
			} else {
				var err error
				if password, err = newPassword(cmd, args[0]+".key"); err != nil {
					return err
				}
			}
			pair, err := trust.GenerateKey(password)
			if err != nil {
				return err
			}
			if err := writeNew(args[0]+".key", pair.SecretFile, 0o600); err != nil {
				return err
			}
			if err := writeNew(args[0]+".pub", pair.PublicFile, 0o644); err != nil {
				return err
			}
			fmt.Fprintf(c.writer(), "# For %s of those who shall trust this key:\nkeys:\n  - name: %s\n    key: %s\n    plugins: [\"*\"]\n", server.TrustFile, filepath.Base(args[0]), pair.Public)
			return nil
		}}
	cmd.Flags().BoolVar(&open, "no-password", false, "do not encrypt the secret key, for machines that sign unattended")
	return cmd
}

// newPassword reads a password for a file; from a terminal twice, since nobody sees what is typed.
func newPassword(cmd *cobra.Command, file string) (string, error) {
	password, err := readSecret(cmd, "password for "+file)
	if f, ok := cmd.InOrStdin().(*os.File); err != nil || !ok || !term.IsTerminal(int(f.Fd())) {
		return password, err
	}
	if password == "" {
		return "", usageError{errors.New("the password is empty; --no-password makes a key that is not encrypted")}
	}
	again, err := readSecret(cmd, "once more")
	if err == nil && password != again {
		err = usageError{errors.New("the two passwords are not the same")}
	}
	return password, err
}

func signCommand(c *client) *cobra.Command {
	var key string
	cmd := &cobra.Command{Use: "sign FILE", Short: "Sign a package: writes FILE.minisig",
		Long: "Sign a package: writes FILE.minisig. The password of an encrypted key is asked for on a terminal, or read from standard input.",
		Args: exactly(1, "a package"), RunE: func(cmd *cobra.Command, args []string) error {
			if key == "" {
				return usageError{errors.New("-k KEY is missing: the secret key, see `riposte plugin keygen`")}
			}
			b, err := openPackage(args[0])
			if err != nil {
				return err
			}
			text, err := readFile(key, trust.MaxSignature, "a secret key, as riposte plugin keygen makes it")
			if err != nil {
				return err
			}
			if info, err := os.Stat(key); err == nil && info.Mode().Perm()&0o077 != 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s can be read by others: chmod 600 %s\n", key, quoted(key))
			}
			password := ""
			if trust.Encrypted(text) {
				if password, err = readSecret(cmd, "password of "+key); err != nil {
					return err
				}
			}
			secret, err := trust.SecretKey(text, password)
			if err != nil {
				return inFile(key, err, "")
			}
			signature, err := trust.Sign(secret, b)
			if err != nil {
				return err
			}
			file := args[0] + server.SignatureSuffix
			if err := writeWhole(file, signature, 0o644); err != nil {
				return err
			}
			id := trust.KeyID(secret.ID())
			return c.done(written{File: file, Plugin: b.Name(), Digest: b.Digest, Key: id}, "%s: %s is signed with the key %s\n", file, b.Name(), id)
		}}
	cmd.Flags().StringVarP(&key, "key", "k", env("RIPOSTE_SIGNING_KEY", ""), "secret key file, of this program or of minisign ($RIPOSTE_SIGNING_KEY)")
	return cmd
}

func verifyCommand(c *client) *cobra.Command {
	var site site
	var key string
	cmd := &cobra.Command{Use: "verify FILE", Short: "Verify the signature of a package against trust.yaml, or one key", Args: exactly(1, "a package"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := site.read(cmd); err != nil {
				return err
			}
			b, err := openPackage(args[0])
			if err != nil {
				return err
			}
			signature, err := server.ReadSignature(args[0])
			if err != nil {
				return err
			}
			signer := key
			if key != "" {
				err = verifyWith(key, b, signature)
			} else {
				signer, err = verify(&site, b, signature)
			}
			if err != nil {
				return inFile(args[0]+server.SignatureSuffix, err, "")
			}
			return c.done(written{Plugin: b.Name(), Digest: b.Digest, Signer: signer}, "%s is signed by %s\n%s\n", b.Name(), signer, b.Digest)
		}}
	site.flags(cmd)
	cmd.Flags().StringVarP(&key, "key", "k", "", "public key (RW…), or its file, instead of trust.yaml")
	return cmd
}

func verifyWith(key string, b *bundle.Bundle, signature []byte) error {
	where := "--key"
	if !strings.HasPrefix(key, "RW") || exists(key) {
		where = key
		text, err := readFile(key, trust.MaxSignature, "a public key, as riposte plugin keygen makes it (.pub), or the key itself (RW…)")
		if err != nil {
			return err
		}
		key = string(text)
	}
	public, err := trust.ParseKey(key)
	if err != nil {
		return inFile(where, err, "")
	}
	return trust.VerifyWith(public, b, signature)
}

// verify checks a signature against the site's trust list, as of now.
func verify(s *site, b *bundle.Bundle, signature []byte) (signer string, err error) {
	if _, _, err := trust.SignatureOf(signature); err != nil {
		return "", err
	}
	keys, err := server.LoadTrust(s.Content)
	if err != nil {
		return "", err
	}
	signedBy, err := keys.Verify(b, signature, time.Now())
	return signedBy.Name, inFile(filepath.Join(s.Content, server.TrustFile), err, "")
}

// inspection is what inspect tells of a package.
type inspection struct {
	*bundle.Contents
	Manifest  *abi.Manifest `json:"manifest"`
	Asks      []string      `json:"asks"`
	Signature *signature    `json:"signature"`
}

// signature is what a signature claims, and whether that is so.
type signature struct {
	Key     string `json:"key"`
	Comment string `json:"comment"`
	Signer  string `json:"signer,omitempty"`
	Refused string `json:"refused,omitempty"`
}

func inspectCommand(c *client) *cobra.Command {
	var site site
	cmd := &cobra.Command{Use: "inspect FILE", Short: "Show what a package is, carries and asks for", Args: exactly(1, "a package"), RunE: func(cmd *cobra.Command, args []string) error {
		if err := site.read(cmd); err != nil {
			return err
		}
		b, err := openPackage(args[0])
		if err != nil {
			return err
		}
		file, err := author.ReadBounded(args[0], bundle.MaxBytes)
		if err != nil {
			return err
		}
		contents, err := bundle.Inspect(file)
		if err != nil {
			return err
		}
		found := inspection{Contents: contents, Manifest: &b.Manifest, Asks: trust.AsksOf(&b.Manifest).Words()}
		if text, err := server.ReadSignature(args[0]); err == nil {
			found.Signature = inspectSignature(&site, b, text)
		}
		return c.show(found, func(w *tabwriter.Writer) { found.table(w) })
	}}
	site.flags(cmd)
	return cmd
}

func inspectSignature(site *site, b *bundle.Bundle, text []byte) *signature {
	s := &signature{}
	var err error
	if s.Key, s.Comment, err = trust.SignatureOf(text); err == nil {
		s.Signer, err = verify(site, b, text)
	}
	if err != nil {
		s.Refused = err.Error()
	}
	return s
}

func (f *inspection) table(w *tabwriter.Writer) {
	m := f.Manifest
	fmt.Fprintf(w, "%s %s\t%s\n", m.Plugin, m.Version, m.Title)
	fmt.Fprintf(w, "digest\t%s\nsize\t%d KiB\n", f.Digest, (f.Size+1023)>>10)
	switch s := f.Signature; {
	case s == nil:
		fmt.Fprintln(w, "signature\tnone")
	case s.Refused != "":
		fmt.Fprintf(w, "signature\tNOT TRUSTED: %s\n", s.Refused)
	default:
		fmt.Fprintf(w, "signature\tby %s, key %s\n", s.Signer, s.Key)
	}
	if f.Engine != "" {
		fmt.Fprintf(w, "engine\t%s, %s\n", m.Runtime, f.Engine)
	}
	for _, line := range f.Asks {
		fmt.Fprintf(w, "asks for\t%s\n", line)
	}
	fmt.Fprintf(w, "imports\t%s\n", orDash(strings.Join(f.Imports, ", ")))
	var parts []string
	for _, s := range f.Sections {
		parts = append(parts, fmt.Sprintf("%s %d", s.Name, s.Size))
	}
	fmt.Fprintf(w, "sections\t%s\n", strings.Join(parts, ", "))
	for _, a := range f.Assets {
		fmt.Fprintf(w, "asset\t%s, %d bytes\n", a.Name, a.Size)
	}
	f.madeOf(w)
}

// madeOf lists what the bill of materials names: of sources the names alone, since they are many.
func (f *inspection) madeOf(w *tabwriter.Writer) {
	var bill struct {
		Components []bundle.Component `json:"components"`
	}
	if json.Unmarshal(f.SBOM, &bill) != nil {
		return
	}
	var sources []string
	for _, part := range bill.Components {
		is, how := part.Version, "made of"
		switch {
		case part.Type == "file":
			sources = append(sources, part.Name)
			continue
		case part.Scope == bundle.Excluded:
			how = "made with"
		case is == "" && len(part.Hashes) > 0:
			is = strings.ToLower(part.Hashes[0].Algorithm) + " " + part.Hashes[0].Content
		}
		fmt.Fprintf(w, "%s\t%s %s\n", how, part.Name, is)
	}
	if len(sources) > 0 {
		fmt.Fprintf(w, "sources\t%s\n", strings.Join(sources, ", "))
	}
}
