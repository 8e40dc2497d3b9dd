package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// registry is as much of an OCI registry as push and pull need: blobs in one request after the other, manifests by tag and digest.
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
type registry struct {
	mu        sync.Mutex
	blobs     map[string][]byte // by digest
	manifests map[string][]byte // by repository, and tag or digest
	types     map[string]string
}

func newRegistry() *registry {
	return &registry{blobs: map[string][]byte{}, manifests: map[string][]byte{}, types: map[string]string{}}
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	path := strings.TrimPrefix(req.URL.Path, "/v2/")
	if name, found := strings.CutSuffix(path, "/blobs/uploads/"); found && req.Method == http.MethodPost {
		w.Header().Set("Location", "/v2/"+name+"/blobs/uploads/one")
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if strings.HasSuffix(path, "/blobs/uploads/one") && req.Method == http.MethodPut {
		r.put(w, req, r.blobs, req.URL.Query().Get("digest"))
		return
	}
	if name, digest, found := strings.Cut(path, "/blobs/"); found && name != "" {
		r.get(w, req, r.blobs, digest, "application/octet-stream")
		return
	}
	name, reference, found := strings.Cut(path, "/manifests/")
	switch {
	case !found:
		w.WriteHeader(http.StatusNotFound)
	case req.Method == http.MethodPut:
		content := r.put(w, req, r.manifests, name+"@"+reference)
		for _, key := range []string{name + "@" + digestOf(content), name + "@" + reference} {
			r.manifests[key], r.types[key] = content, req.Header.Get("Content-Type")
		}
	default:
		key := name + "@" + reference
		r.get(w, req, r.manifests, key, r.types[key])
	}
}

func (r *registry) put(w http.ResponseWriter, req *http.Request, into map[string][]byte, key string) []byte {
	content, err := io.ReadAll(req.Body)
	if err != nil || strings.HasPrefix(key, "sha256:") && key != digestOf(content) {
		w.WriteHeader(http.StatusBadRequest)
		return nil
	}
	into[key] = content
	w.Header().Set("Docker-Content-Digest", digestOf(content))
	w.WriteHeader(http.StatusCreated)
	return content
}

func (r *registry) get(w http.ResponseWriter, req *http.Request, from map[string][]byte, key, contentType string) {
	content, ok := from[key]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Docker-Content-Digest", digestOf(content))
	if req.Method == http.MethodHead {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		return
	}
	_, _ = w.Write(content)
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}
