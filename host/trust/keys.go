package trust

import (
	"crypto/rand"
	"fmt"

	"aead.dev/minisign"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// KeyPair is a new key, as the minisign tool keeps it in files.
type KeyPair struct {
	ID     string
	Public string // the line for trust.yaml and for minisign -P
	// PublicFile and SecretFile are the whole files, NAME.pub and NAME.key.
	PublicFile, SecretFile []byte
}

// GenerateKey makes a key. The secret is encrypted with the password (scrypt, 1 GiB of memory for about a second or three, as minisign does
// it); with an empty one it lies open in the file.
func GenerateKey(password string) (*KeyPair, error) {
	public, secret, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	text, err := secret.MarshalText()
	if password != "" {
		text, err = minisign.EncryptKey(password, secret)
	}
	if err != nil {
		return nil, err
	}
	k := &KeyPair{ID: KeyID(public.ID()), Public: public.String(), SecretFile: append(text, '\n')}
	k.PublicFile = fmt.Appendf(nil, "untrusted comment: minisign public key %s\n%s\n", k.ID, k.Public)
	return k, nil
}

// Encrypted says whether a secret key file needs a password.
func Encrypted(file []byte) bool { return minisign.IsEncrypted(file) }

// SecretKey reads a secret key file of GenerateKey or of the minisign tool.
func SecretKey(file []byte, password string) (key minisign.PrivateKey, err error) {
	if len(file) > MaxSignature {
		return key, abi.NewFault(abi.Invalid, "the secret key file is larger than 8 KiB", "")
	}
	if Encrypted(file) {
		if key, err = minisign.DecryptKey(password, file); err != nil {
			return key, abi.NewFault(abi.Invalid, "the secret key cannot be decrypted", "is the password right?")
		}
		return key, nil
	}
	if err := key.UnmarshalText(file); err != nil {
		return key, abi.NewFault(abi.Invalid, "this is no minisign secret key", "riposte plugin keygen makes one")
	}
	return key, nil
}
