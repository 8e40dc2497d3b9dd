package cef

import (
	"strings"

	"github.com/riposte-soar/riposte/server/alarm"
)

// dictionary is made once from the table and never changed.
var dictionary = newDictionary()

// table maps the keys of the CEF extension dictionary (short names and full names, as the ArcSight CEF implementation
// standard lists them) to known fields. Products do not agree on whose counters `in` and `out` are; like Elastic's
// decode_cef processor we keep `in` as source.bytes and `out` as destination.bytes.
const table = `
	act deviceAction : event.action
	app applicationProtocol : network.protocol
	cat deviceEventCategory : event.category
	dhost destinationHostName : destination.domain
	dlat destinationGeoLatitude : destination.geo.location.lat
	dlong destinationGeoLongitude : destination.geo.location.lon
	dmac destinationMacAddress : destination.mac
	dntdom destinationNtDomain : destination.user.domain
	dpid destinationProcessId : destination.process.pid
	dpriv destinationUserPrivileges : destination.user.group.name
	dproc destinationProcessName : destination.process.name
	dpt destinationPort : destination.port
	dst destinationAddress : destination.ip
	duid destinationUserId : destination.user.id
	duser destinationUserName : destination.user.name
	dvc deviceAddress : observer.ip
	dvchost deviceHostName : observer.hostname
	dvcmac deviceMacAddress : observer.mac
	dvcpid deviceProcessId : process.pid
	end endTime : event.end
	fname filename fileName : file.name
	fsize fileSize : file.size
	in bytesIn : source.bytes
	msg message : message
	out bytesOut : destination.bytes
	outcome eventOutcome : event.outcome
	proto transportProtocol : network.transport
	request requestUrl requestURL : url.original
	rt deviceReceiptTime : event.created
	shost sourceHostName : source.domain
	slat sourceGeoLatitude : source.geo.location.lat
	slong sourceGeoLongitude : source.geo.location.lon
	smac sourceMacAddress : source.mac
	sntdom sourceNtDomain : source.user.domain
	spid sourceProcessId : source.process.pid
	spriv sourceUserPrivileges : source.user.group.name
	sproc sourceProcessName : source.process.name
	spt sourcePort : source.port
	src sourceAddress : source.ip
	start startTime : event.start
	suid sourceUserId : source.user.id
	suser sourceUserName : source.user.name
	type : event.type
	dtz deviceTimeZone : event.timezone
	agentId aid : agent.id
	agentHostName ahost : agent.name
	agentType at : agent.type
	agentVersion av : agent.version
	customerExternalID : organization.id
	customerURI : organization.name
	destinationDnsDomain : destination.registered_domain
	destinationServiceName : destination.service.name
	destinationTranslatedAddress : destination.nat.ip
	destinationTranslatedPort : destination.nat.port
	deviceDirection : network.direction
	deviceDnsDomain : observer.registered_domain
	deviceExternalId : observer.name
	deviceInboundInterface : observer.ingress.interface.name
	deviceOutboundInterface : observer.egress.interface.name
	deviceProcessName : process.name
	eventId : event.id
	externalId : event.code
	fileCreateTime : file.created
	fileId : file.inode
	fileModificationTime : file.mtime
	filePath : file.path
	filePermission : file.group
	fileType : file.type
	reason : event.reason
	requestClientApplication : user_agent.original
	requestContext : http.request.referrer
	requestMethod : http.request.method
	sourceDnsDomain : source.registered_domain
	sourceServiceName : source.service.name
	sourceTranslatedAddress : source.nat.ip
	sourceTranslatedPort : source.nat.port`

func newDictionary() map[string]*alarm.Field {
	d := map[string]*alarm.Field{}
	for line := range strings.Lines(table) {
		keys, path, _ := strings.Cut(strings.TrimSpace(line), " : ")
		f, ok := alarm.Lookup(path)
		if !ok {
			continue // a test holds every line to a known field
		}
		for key := range strings.FieldsSeq(keys) {
			d[key] = f
		}
	}
	return d
}

// fileHash chooses the field of a fileHash by its length; whatever it was, a second fileHash finds all of them taken.
func fileHash(text string, b *alarm.Builder) {
	lengths := [...]struct {
		digits int
		path   string
	}{{32, "file.hash.md5"}, {40, "file.hash.sha1"}, {64, "file.hash.sha256"}, {128, "file.hash.sha512"}}
	kept := false
	for _, l := range lengths {
		f, _ := alarm.Lookup(l.path)
		if len(text) == l.digits && isHex(text) {
			b.Text(f, "fileHash", text)
			kept = true
		} else {
			b.Seen(f)
		}
	}
	if !kept {
		b.Ext("fileHash", text)
	}
}

func isHex(text string) bool {
	for i := 0; i < len(text); i++ {
		if c := text[i]; (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return true
}
