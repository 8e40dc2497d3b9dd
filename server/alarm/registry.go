package alarm

import (
	"slices"
	"strings"
)

// Kind is the type of a known field.
type Kind uint8

// The kinds, and the Go type of their values.
const (
	Text    Kind = iota // string
	Lower               // string in lower case: names of protocols and domains, hexadecimal hashes
	Integer             // int64, not negative
	Port                // int64, 0 to 65535
	Number              // float64
	Bool                // bool
	IP                  // string: an address as net/netip writes it; IPv4 in IPv6 is written as IPv4
	MAC                 // string: hexadecimal in capitals with hyphens, as ECS and RFC 7042 write it
	Time                // string: RFC 3339 in UTC
	List                // []any of strings
)

// Field is a field of which the type is known; get one from Lookup.
type Field struct {
	Path string // dotted ECS name
	Kind Kind

	index  int    // place in the registry
	object int    // place of the object that holds it
	leaf   string // last part of Path
}

// object is one level of nesting; the first is the alarm itself.
type object struct {
	name   string
	parent int
}

// Bounds of what a Builder and Alarm.Fields keep; a test holds the registry to them.
const (
	maxFields  = 256
	maxObjects = 128
)

type index struct {
	fields  []Field
	objects []object
	byPath  map[string]*Field
}

// registry is made once from the tables and never changed.
var registry = newIndex()

// Lookup finds a known field by its dotted ECS name, or by an alias ("@timestamp" is kept as event.created).
func Lookup(path string) (*Field, bool) {
	f, ok := registry.byPath[path]
	return f, ok
}

// Fields lists all known fields in the order of their paths.
func Fields() []Field { return slices.Clone(registry.fields) }

// Reserved reports whether a name at the top of the document belongs to the envelope or to ext, so that no field may have it.
func Reserved(name string) bool {
	switch name {
	case "uid", "received", "intake", "severity", "parse", "raw", "ext":
		return true
	}
	return false
}

func newIndex() *index {
	x := &index{objects: []object{{parent: -1}}, byPath: map[string]*Field{}}
	objects := map[string]int{"": 0}
	for kind, paths := range known() {
		for path := range strings.FieldsSeq(paths) {
			x.fields = append(x.fields, Field{Path: path, Kind: Kind(kind)})
		}
	}
	slices.SortFunc(x.fields, func(a, b Field) int { return strings.Compare(a.Path, b.Path) })
	for i := range x.fields {
		f := &x.fields[i]
		parts := strings.Split(f.Path, ".")
		parent, prefix := 0, ""
		for _, name := range parts[:len(parts)-1] {
			prefix += name + "."
			at, ok := objects[prefix]
			if !ok {
				at = len(x.objects)
				objects[prefix] = at
				x.objects = append(x.objects, object{name: name, parent: parent})
			}
			parent = at
		}
		f.index, f.object, f.leaf = i, parent, parts[len(parts)-1]
		x.byPath[f.Path] = f
	}
	for alias, path := range map[string]string{"@timestamp": "event.created"} {
		x.byPath[alias] = x.byPath[path]
	}
	return x
}

// known lists the fields by kind. Names and meaning are those of the Elastic Common Schema 8
// (www.elastic.co/docs/reference/ecs), where host.ip and the like may be lists: here they are one address. event.created is the time
// that the reporting device gives (ECS @timestamp, which is no identifier in an expression).
func known() [List + 1]string {
	return [...]string{
		Text: `agent.id agent.name agent.type agent.version cloud.account.id cloud.instance.id cloud.provider cloud.region
			container.id container.image.name container.name destination.geo.country_iso_code
			destination.process.name destination.service.name destination.user.domain destination.user.group.name
			destination.user.id destination.user.name dns.question.type email.from.address email.message_id
			email.subject email.to.address error.message event.action event.category event.code event.dataset
			event.id event.kind event.module event.original event.outcome event.provider event.reason event.timezone
			event.type event.url file.extension file.group file.inode file.name file.owner file.path file.type
			group.id group.name host.domain host.hostname host.id host.name host.os.name http.request.method
			http.request.referrer log.syslog.appname log.syslog.hostname log.syslog.msgid log.syslog.procid
			log.syslog.version message network.community_id observer.egress.interface.name observer.hostname
			observer.ingress.interface.name observer.name observer.product observer.serial_number observer.type
			observer.vendor observer.version orchestrator.cluster.name orchestrator.namespace
			orchestrator.resource.name organization.id organization.name process.command_line process.executable
			process.name process.parent.command_line process.parent.executable process.parent.name
			process.working_directory registry.key registry.path registry.value rule.author rule.category
			rule.description rule.id rule.name rule.reference rule.ruleset rule.uuid rule.version service.name
			service.type source.geo.country_iso_code source.process.name source.service.name source.user.domain
			source.user.group.name source.user.id source.user.name threat.framework threat.indicator.description
			threat.indicator.type tls.server.issuer tls.server.subject url.full url.original url.path url.query
			user.domain user.email user.full_name user.group.name user.id user.name user.target.name
			user_agent.original vulnerability.id vulnerability.severity`,
		Lower: `client.domain destination.domain destination.registered_domain dns.question.name file.hash.md5
			file.hash.sha1 file.hash.sha256 file.hash.sha512 network.application network.direction network.protocol
			network.transport observer.registered_domain process.hash.md5 process.hash.sha1 process.hash.sha256
			server.domain source.domain source.registered_domain tls.client.ja3 tls.server.hash.sha256 url.domain`,
		Integer: `destination.bytes destination.packets destination.process.pid
			event.duration event.sequence event.severity
			file.size
			http.request.bytes http.response.bytes http.response.status_code
			log.syslog.facility.code log.syslog.priority log.syslog.severity.code
			network.bytes network.packets network.vlan.id
			process.exit_code process.pid process.parent.pid
			source.bytes source.packets source.process.pid`,
		Port: `client.port destination.nat.port destination.port server.port source.nat.port source.port url.port`,
		Number: `destination.geo.location.lat destination.geo.location.lon event.risk_score source.geo.location.lat
			source.geo.location.lon vulnerability.score.base`,
		Bool: `file.code_signature.valid process.code_signature.valid tls.established`,
		IP: `client.ip destination.ip destination.nat.ip host.ip observer.ip server.ip source.ip source.nat.ip
			threat.indicator.ip`,
		MAC: `destination.mac host.mac observer.mac source.mac`,
		Time: `event.created event.end event.ingested event.start
			file.accessed file.created file.ctime file.mtime process.start`,
		List: `related.hash related.hosts related.ip related.user tags
			threat.tactic.id threat.tactic.name threat.technique.id threat.technique.name`,
	}
}
