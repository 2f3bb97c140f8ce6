// tuf-peer is go-tuf on the other side of tests/tuf_test.py. One verb a call, those of tests/tuf_peer.py:
//
//	follow BASE ROOT DIR TARGET   its updater: prints the target's bytes, or "TypeOfTheError: ..." on stderr and exits with 1
//	make DIR                      a repository (metadata/, targets/, keys/) with a delegated role
//	publish DIR TEXT [EXPIRED]    the next version of the target; with EXPIRED, metadata that is out of date
//	rotate DIR ROLE               a new key for a top-level role, and the next root
//	verify FILE...                each root by the one before it and by itself
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

const (
	target    = "sites/north/desired.json"
	delegated = "sites"
)

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", strings.TrimPrefix(fmt.Sprintf("%T", err), "*metadata."), err)
		os.Exit(1)
	}
}

func follow(base, root, directory, path string) {
	trusted := filepath.Join(directory, "metadata", "root.json")
	if _, err := os.Stat(trusted); err != nil {
		trusted = root
	}
	cfg := must(config.New(must(url.JoinPath(base, "metadata")), must(os.ReadFile(trusted))))
	cfg.LocalMetadataDir = filepath.Join(directory, "metadata")
	cfg.LocalTargetsDir = filepath.Join(directory, "downloads")
	cfg.RemoteTargetsURL = must(url.JoinPath(base, "targets"))
	transport := &http.Transport{}
	transport.RegisterProtocol("file", http.NewFileTransport(http.Dir("/")))
	check(cfg.SetDefaultFetcherTransport(transport))
	client := must(updater.New(cfg))
	check(client.Refresh())
	info := must(client.GetTargetInfo(path))
	_, content, err := client.DownloadTarget(info, "", "")
	check(err)
	os.Stdout.Write(content)
}

// repository is a directory of metadata with its keys.
type repository string

func (r repository) key(name string) *ecdsa.PrivateKey {
	return must(x509.ParseECPrivateKey(must(os.ReadFile(filepath.Join(string(r), "keys", name)))))
}

func (r repository) newKey(name string) *metadata.Key {
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	r.write(filepath.Join("keys", name), must(x509.MarshalECPrivateKey(private)))
	return must(metadata.KeyFromPublicKey(private.Public()))
}

func (r repository) write(name string, content []byte) {
	path := filepath.Join(string(r), name)
	check(os.MkdirAll(filepath.Dir(path), 0o755))
	check(os.WriteFile(path, content, 0o600))
}

// newest is the highest version of a role that is here; 0: none.
func (r repository) newest(role string) int64 {
	var version int64
	for _, name := range must(filepath.Glob(filepath.Join(string(r), "metadata", "*."+role+".json"))) {
		number, _, _ := strings.Cut(filepath.Base(name), ".")
		version = max(version, must(strconv.ParseInt(number, 10, 64)))
	}
	return version
}

func (r repository) metadataFile(role string, version int64) string {
	return filepath.Join("metadata", fmt.Sprintf("%d.%s.json", version, role))
}

func sign[T metadata.Roles](document *metadata.Metadata[T], keys ...*ecdsa.PrivateKey) []byte {
	document.ClearSignatures()
	for _, key := range keys {
		must(document.Sign(must(signature.LoadSigner(key, crypto.SHA256))))
	}
	return must(document.ToBytes(false))
}

func later(days int) time.Time {
	return time.Now().UTC().AddDate(0, 0, days).Truncate(time.Second)
}

func (r repository) create() {
	root := metadata.Root(later(1000))
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		check(root.Signed.AddKey(r.newKey(role), role))
	}
	r.write(r.metadataFile(metadata.ROOT, 1), sign(root, r.key(metadata.ROOT)))
	key := r.newKey(delegated)
	id := must(key.ID())
	top := metadata.Targets(later(100))
	top.Signed.Delegations = &metadata.Delegations{
		Keys: map[string]*metadata.Key{id: key},
		Roles: []metadata.DelegatedRole{{
			Name: delegated, KeyIDs: []string{id}, Threshold: 1, Terminating: true, Paths: []string{"sites/*/*"},
		}},
	}
	r.write(r.metadataFile(metadata.TARGETS, 1), sign(top, r.key(metadata.TARGETS)))
	r.publish("first\n", false)
}

func (r repository) publish(text string, expired bool) {
	expires := later(50)
	if expired {
		expires = later(-10)
	}
	top := must(metadata.Targets().FromFile(filepath.Join(string(r), r.metadataFile(metadata.TARGETS, r.newest(metadata.TARGETS)))))
	top.Signed.Version++
	top.Signed.Expires = expires
	r.write(r.metadataFile(metadata.TARGETS, top.Signed.Version), sign(top, r.key(metadata.TARGETS)))

	role := metadata.Targets(expires)
	role.Signed.Version = r.newest(delegated) + 1
	info := must(metadata.TargetFile().FromBytes(target, []byte(text), "sha256"))
	role.Signed.Targets[target] = info
	directory, name := filepath.Split(target)
	r.write(filepath.Join("targets", directory, hex.EncodeToString(info.Hashes["sha256"])+"."+name), []byte(text))
	r.write(r.metadataFile(delegated, role.Signed.Version), sign(role, r.key(delegated)))

	snapshot := metadata.Snapshot(expires)
	snapshot.Signed.Version = r.newest(metadata.SNAPSHOT) + 1
	snapshot.Signed.Meta["targets.json"] = metadata.MetaFile(top.Signed.Version)
	snapshot.Signed.Meta[delegated+".json"] = metadata.MetaFile(role.Signed.Version)
	r.write(r.metadataFile(metadata.SNAPSHOT, snapshot.Signed.Version), sign(snapshot, r.key(metadata.SNAPSHOT)))

	timestamp := metadata.Timestamp(expires)
	timestamp.Signed.Version = snapshot.Signed.Version
	timestamp.Signed.Meta["snapshot.json"] = metadata.MetaFile(snapshot.Signed.Version)
	r.write("metadata/timestamp.json", sign(timestamp, r.key(metadata.TIMESTAMP)))
}

func (r repository) rotate(role string) {
	root := must(metadata.Root().FromFile(filepath.Join(string(r), r.metadataFile(metadata.ROOT, r.newest(metadata.ROOT)))))
	old := r.key(metadata.ROOT)
	check(root.Signed.RevokeKey(root.Signed.Roles[role].KeyIDs[0], role))
	check(root.Signed.AddKey(r.newKey(role), role))
	root.Signed.Version++
	signers := []*ecdsa.PrivateKey{old}
	if role == metadata.ROOT {
		signers = append(signers, r.key(metadata.ROOT))
	}
	r.write(r.metadataFile(metadata.ROOT, root.Signed.Version), sign(root, signers...))
}

func verify(files []string) {
	before := must(metadata.Root().FromFile(files[0]))
	for _, file := range files {
		root := must(metadata.Root().FromFile(file))
		check(before.VerifyDelegate(metadata.ROOT, root))
		check(root.VerifyDelegate(metadata.ROOT, root))
		before = root
	}
}

func main() {
	verb, rest := os.Args[1], os.Args[2:]
	switch verb {
	case "follow":
		follow(rest[0], rest[1], rest[2], rest[3])
	case "make":
		repository(rest[0]).create()
	case "publish":
		repository(rest[0]).publish(rest[1], len(rest) > 2)
	case "rotate":
		repository(rest[0]).rotate(rest[1])
	case "verify":
		verify(rest)
	default:
		fmt.Fprintf(os.Stderr, "unknown verb %q\n", verb)
		os.Exit(2)
	}
}
