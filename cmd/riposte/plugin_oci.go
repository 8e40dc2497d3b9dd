package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/trust"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server"
)

// A plugin in a registry is an OCI artifact (https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md) of two layers: the package,
// and its signature.
const (
	ociPrefix     = "oci:"
	artifactType  = "application/vnd.riposte.plugin.v1"
	typeModule    = "application/wasm"
	typeSignature = "application/vnd.riposte.plugin.minisign.v1"
	maxOCI        = 64 << 10 // bytes of an artifact's manifest
)

func pushCommand(c *client) *cobra.Command {
	return &cobra.Command{Use: "push FILE oci:REFERENCE", Short: "Push a signed package to an OCI registry",
		Long: "Push a signed package to an OCI registry, such as oci:registry.corp.test/plugins/hello:1.0.0. Who you are is taken from where\ndocker login and oras login keep it. Registries on this machine are spoken to without TLS.",
		Args: exactly(2, "a package, and where to"), RunE: func(cmd *cobra.Command, args []string) error {
			b, err := bundle.OpenFile(args[0])
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
			digest, err := pushArtifact(cmd.Context(), ref, b, signature)
			if err == nil {
				fmt.Fprintf(c.writer(), "%s is pushed: %s%s@%s\n", b.Name(), ociPrefix, ref, digest)
			}
			return err
		}}
}

func pullCommand(c *client) *cobra.Command {
	var out string
	cmd := &cobra.Command{Use: "pull oci:REFERENCE", Short: "Pull a package and its signature from an OCI registry; nothing is verified or installed", Args: exactly(1, "from where"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, ok := strings.CutPrefix(args[0], ociPrefix)
			if !ok {
				return usageError{fmt.Errorf("%q is no reference: oci:REGISTRY/REPOSITORY:TAG", args[0])}
			}
			file, signature, err := fetchArtifact(cmd.Context(), ref)
			if err != nil {
				return err
			}
			b, err := bundle.Open(file)
			if err != nil {
				return err
			}
			if out == "" {
				out = b.Manifest.Plugin + ".wasm"
			}
			if err := place(out, file, signature); err != nil {
				return err
			}
			fmt.Fprintf(c.writer(), "%s: %s, %s\n", out, b.Name(), b.Digest)
			return nil
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

// pushArtifact sends a package with its signature and gives the digest of the artifact. The same package gives the same artifact.
func pushArtifact(ctx context.Context, ref string, b *bundle.Bundle, signature []byte) (string, error) {
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
	for _, part := range []struct {
		mediaType, name string
		data            []byte
	}{{typeModule, b.Manifest.Plugin + ".wasm", file}, {typeSignature, b.Manifest.Plugin + ".wasm" + server.SignatureSuffix, signature}} {
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
		return "", fmt.Errorf("push to %s: %w", ref, err)
	}
	if err := repo.Tag(ctx, root, repo.Reference.Reference); err != nil {
		return "", fmt.Errorf("tag %s: %w", ref, err)
	}
	return root.Digest.String(), nil
}

// fetchArtifact gets a package and its signature; their digests are those that the artifact names.
func fetchArtifact(ctx context.Context, ref string) (file, signature []byte, err error) {
	repo, err := repository(ref)
	if err != nil {
		return nil, nil, err
	}
	_, text, err := oras.FetchBytes(ctx, repo, repo.Reference.Reference, oras.FetchBytesOptions{MaxBytes: maxOCI})
	if err != nil {
		return nil, nil, fmt.Errorf("pull %s: %w", ref, err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(text, &m); err != nil || m.ArtifactType != artifactType {
		return nil, nil, abi.NewFault(abi.Invalid, fmt.Sprintf("%s%s is no plugin: its type is %.100q", ociPrefix, ref, m.ArtifactType), "riposte plugin push makes one")
	}
	for _, layer := range m.Layers {
		to, limit := &file, int64(bundle.MaxBytes)
		switch layer.MediaType {
		case typeModule:
		case typeSignature:
			to, limit = &signature, trust.MaxSignature
		default:
			continue
		}
		if layer.Size > limit || *to != nil {
			return nil, nil, abi.NewFault(abi.TooLarge, fmt.Sprintf("%s%s has layers that are too large, or too many", ociPrefix, ref), "")
		}
		if *to, err = content.FetchAll(ctx, repo, layer); err != nil {
			return nil, nil, fmt.Errorf("pull %s: %w", ref, err)
		}
	}
	if file == nil {
		return nil, nil, errors.New(ociPrefix + ref + " holds no package")
	}
	return file, signature, nil
}
