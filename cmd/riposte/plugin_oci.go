package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/engines"
	"github.com/riposte-soar/riposte/host/trust"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server"
)

// A plugin in a registry is an OCI artifact (https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md) of two layers: the package,
// and its signature; for a package of scripts there is a third, its engine, which a registry keeps once for all that name it.
const (
	ociPrefix     = "oci:"
	artifactType  = "application/vnd.riposte.plugin.v1"
	typeModule    = "application/wasm"
	typeSignature = "application/vnd.riposte.plugin.minisign.v1"
	typeEngine    = "application/vnd.riposte.engine.v1+wasm"
	maxOCI        = 64 << 10 // bytes of an artifact's manifest
)

func pushCommand(c *client) *cobra.Command {
	return &cobra.Command{Use: "push FILE oci:REFERENCE", Short: "Push a signed package to an OCI registry",
		Long: "Push a signed package to an OCI registry, such as oci:registry.corp.test/plugins/hello:1.0.0. Who you are is taken from where\ndocker login and oras login keep it. Registries on this machine are spoken to without TLS.",
		Args: exactly(2, "a package, and where it goes: oci:REGISTRY/REPOSITORY:TAG"), RunE: func(cmd *cobra.Command, args []string) error {
			b, err := openPackage(args[0])
			if err != nil {
				return err
			}
			signature, err := server.ReadSignature(args[0])
			if err != nil {
				return err
			}
			ref, ok := strings.CutPrefix(args[1], ociPrefix)
			if !ok {
				return usageError{fmt.Errorf("%q is no reference: oci:REGISTRY/REPOSITORY:TAG", args[1])}
			}
			var engine []byte
			if b.Engine() != "" {
				if engine, err = engines.After(engines.Folder(filepath.Dir(args[0]))).Read(b.Engine()); err != nil {
					return err
				}
			}
			digest, err := pushArtifact(cmd.Context(), ref, b, signature, engine)
			if err != nil {
				return err
			}
			return c.done(written{File: ociPrefix + ref + "@" + digest, Plugin: b.Name(), Digest: b.Digest}, "%s is pushed: %s%s@%s\n", b.Name(), ociPrefix, ref, digest)
		}}
}

func pullCommand(c *client) *cobra.Command {
	var out string
	cmd := &cobra.Command{Use: "pull oci:REFERENCE", Short: "Pull a package, its signature and its engine from an OCI registry; nothing is verified or installed",
		Args: exactly(1, "where it comes from: oci:REGISTRY/REPOSITORY:TAG"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, ok := strings.CutPrefix(args[0], ociPrefix)
			if !ok {
				return usageError{fmt.Errorf("%q is no reference: oci:REGISTRY/REPOSITORY:TAG", args[0])}
			}
			p, err := fetchArtifact(cmd.Context(), ref)
			if err != nil {
				return err
			}
			if out == "" {
				out = p.Manifest.Plugin + ".wasm"
			}
			wrote, said := written{File: out, Plugin: p.Name(), Digest: p.Digest}, ""
			if p.Engine() != "" {
				engine, err := p.engine(cmd.Context())
				if err != nil {
					return err
				}
				if wrote.Engine, err = writeEngine(filepath.Dir(out), p.Bundle, engine); err != nil {
					return err
				}
				said = tellEngine(wrote.Engine, p.Bundle, engine)
			}
			if err := place(out, p.file, p.signature); err != nil {
				return err
			}
			return c.done(wrote, "%s%s: %s, %s\n", said, out, p.Name(), p.Digest)
		}}
	outFlag(cmd, &out, "package to write (default PLUGIN.wasm)")
	return cmd
}

// repository opens a repository of a registry.
func repository(ref string) (*remote.Repository, error) {
	repo, err := remote.NewRepository(ref)
	if err != nil {
		return nil, usageError{fmt.Errorf("%q is no reference: oci:REGISTRY/REPOSITORY:TAG", ociPrefix+ref)}
	}
	if repo.Reference.Reference == "" {
		return nil, usageError{fmt.Errorf("%s%s names no tag, such as :1.0.0", ociPrefix, ref)}
	}
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, fmt.Errorf("credentials of the registry: %w", err)
	}
	repo.Client = &auth.Client{Client: retry.DefaultClient, Cache: auth.NewCache(), Credential: credentials.Credential(store)}
	repo.PlainHTTP = onThisMachine(repo.Reference.Host())
	return repo, nil
}

func onThisMachine(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = hostPort
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// pushArtifact sends a package with its signature, and its engine if it names one, and gives the digest of the artifact. The same package gives the same artifact.
func pushArtifact(ctx context.Context, ref string, b *bundle.Bundle, signature, engine []byte) (string, error) {
	repo, err := repository(ref)
	if err != nil {
		return "", err
	}
	file, err := b.Module()
	if err != nil {
		return "", err
	}
	local := memory.New()
	var layers []ocispec.Descriptor
	type part struct {
		mediaType, name string
		data            []byte
	}
	parts := []part{{typeModule, b.Manifest.Plugin + ".wasm", file}, {typeSignature, b.Manifest.Plugin + ".wasm" + server.SignatureSuffix, signature}}
	if engine != nil {
		parts = append(parts, part{typeEngine, engines.File(b.Engine()), engine})
	}
	for _, part := range parts {
		layer, err := oras.PushBytes(ctx, local, part.mediaType, part.data)
		if err != nil {
			return "", err
		}
		layer.Annotations = map[string]string{ocispec.AnnotationTitle: filepath.Base(part.name)}
		layers = append(layers, layer)
	}
	root, err := oras.PackManifest(ctx, local, oras.PackManifestVersion1_1, artifactType, oras.PackManifestOptions{Layers: layers,
		ManifestAnnotations: map[string]string{ocispec.AnnotationCreated: "1970-01-01T00:00:00Z", ocispec.AnnotationTitle: b.Manifest.Title,
			ocispec.AnnotationVersion: b.Manifest.Version, ocispec.AnnotationLicenses: b.Manifest.License}})
	if err != nil {
		return "", err
	}
	if err := oras.CopyGraph(ctx, local, repo, root, oras.DefaultCopyGraphOptions); err != nil {
		return "", ofRegistry("push", ref, err)
	}
	if err := repo.Tag(ctx, root, repo.Reference.Reference); err != nil {
		return "", ofRegistry("tag", ref, err)
	}
	return root.Digest.String(), nil
}

// ofRegistry says what a registry answered, or that it did not.
func ofRegistry(doing, ref string, err error) error {
	f := &abi.Fault{Kind: abi.Unavailable, Where: ociPrefix + ref, Message: doing + ": " + err.Error(), Hint: "is the registry there, and its name right?"}
	var said *errcode.ErrorResponse
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, errdef.ErrNotFound):
		f.Kind, f.Hint = abi.NotFound, "look at the repository and its tags: a package is pushed with riposte plugin push"
	case errors.As(err, &said) && (said.StatusCode == http.StatusUnauthorized || said.StatusCode == http.StatusForbidden):
		f.Kind, f.Hint = abi.Unauthorized, "docker login or oras login to the registry; they keep who you are"
	case errors.As(err, &said):
		f.Kind, f.Hint = abi.Failed, ""
	}
	return f
}

// fetchArtifact gets a package and its signature; their digests are those that the artifact names.
func fetchArtifact(ctx context.Context, ref string) (*parcel, error) {
	repo, err := repository(ref)
	if err != nil {
		return nil, err
	}
	_, text, err := oras.FetchBytes(ctx, repo, repo.Reference.Reference, oras.FetchBytesOptions{MaxBytes: maxOCI})
	if err != nil {
		return nil, ofRegistry("pull", ref, err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(text, &m); err != nil || m.ArtifactType != artifactType {
		return nil, abi.NewFault(abi.Invalid, fmt.Sprintf("%s%s is no plugin: its type is %.100q", ociPrefix, ref, m.ArtifactType), "riposte plugin push makes one")
	}
	fetch := func(ctx context.Context, mediaType, digest string, limit int64) (found []byte, err error) {
		for _, layer := range m.Layers {
			if layer.MediaType != mediaType || digest != "" && string(layer.Digest) != digest {
				continue
			}
			if layer.Size > limit || found != nil {
				return nil, abi.NewFault(abi.TooLarge, fmt.Sprintf("%s%s has layers that are too large, or too many", ociPrefix, ref), "")
			}
			if found, err = content.FetchAll(ctx, repo, layer); err != nil {
				return nil, ofRegistry("pull", ref, err)
			}
		}
		return found, nil
	}
	p := &parcel{}
	if p.file, err = fetch(ctx, typeModule, "", bundle.MaxBytes); err != nil {
		return nil, err
	}
	if p.file == nil {
		return nil, errors.New(ociPrefix + ref + " holds no package")
	}
	if p.Bundle, err = bundle.Open(p.file); err != nil {
		return nil, err
	}
	p.engine = func(ctx context.Context) ([]byte, error) {
		engine, err := fetch(ctx, typeEngine, p.Engine(), engines.MaxEngine) // a blob's digest is made as that of an engine
		if err == nil && engine == nil {
			engine, err = engines.After().Read(p.Engine())
		}
		return engine, err
	}
	p.signature, err = fetch(ctx, typeSignature, "", trust.MaxSignature)
	return p, err
}
