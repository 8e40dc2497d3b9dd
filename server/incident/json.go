package incident

import "github.com/riposte-soar/riposte/host/compact"

// What is stored for each alarm writes itself; the rest is left to encoding/json.

// WriteJSON implements journal.Writer.
func (o Opened) WriteJSON(w *compact.Writer) {
	begin := len(w.B)
	w.Filled(`,"template":`, o.Template)
	w.Filled(`,"rule":`, o.Rule)
	w.Text(`,"type":`, o.Type)
	w.Text(`,"title":`, o.Title)
	w.Filled(`,"category":`, o.Category)
	w.Text(`,"severity":`, o.Severity)
	w.Filled(`,"queue":`, o.Queue)
	w.Filled(`,"tlp":`, o.TLP)
	w.Texts(`,"attack":`, o.Attack)
	w.Enclose(begin)
}

// WriteJSON implements journal.Writer.
func (a AlarmJoined) WriteJSON(w *compact.Writer) {
	w.Text(`{"uid":`, a.UID)
	w.Raw("}")
}

// WriteJSON implements journal.Writer.
func (r RunStarted) WriteJSON(w *compact.Writer) {
	w.Text(`{"runbook":`, r.Runbook)
	w.Number(`,"version":`, int64(r.Version))
	w.Text(`,"digest":`, r.Digest)
	w.Filled(`,"title":`, r.Title)
	w.Filled(`,"alarm":`, r.Alarm)
	if len(r.Inputs) > 0 {
		w.Other(`,"inputs":`, r.Inputs)
	}
	w.Filled(`,"releases":`, r.Releases)
	w.Raw("}")
}

// WriteJSON implements journal.Writer.
func (r RunFinished) WriteJSON(w *compact.Writer) {
	w.Text(`{"status":`, string(r.Status))
	if len(r.Outputs) > 0 {
		w.Document(`,"outputs":`, r.Outputs)
	}
	if r.Fault != nil {
		w.Other(`,"fault":`, r.Fault)
	}
	w.Filled(`,"failed":`, r.Failed)
	w.Raw("}")
}

// WriteJSON implements journal.Writer.
func (a ActionStarted) WriteJSON(w *compact.Writer) {
	w.Text(`{"invocation":`, a.Invocation)
	w.Text(`,"key":`, a.Key)
	w.Number(`,"attempt":`, int64(a.Attempt))
	w.Text(`,"plugin":`, a.Plugin)
	w.Text(`,"action":`, a.Action)
	w.Text(`,"kind":`, string(a.Kind))
	w.Text(`,"effect":`, string(a.Effect))
	w.Text(`,"connector":`, a.Connector)
	w.Text(`,"module":`, a.Module)
	w.Document(`,"parameters":`, a.Parameters)
	w.Texts(`,"targets":`, a.Targets)
	w.Count(`,"ttl":`, int64(a.TTL))
	w.Count(`,"timeout":`, int64(a.Timeout))
	w.Time(`,"at":`, a.At)
	w.Flag(`,"verify":`, a.Verify)
	w.Raw("}")
}

// WriteJSON implements journal.Writer.
func (a ActionFinished) WriteJSON(w *compact.Writer) {
	w.Text(`{"invocation":`, a.Invocation)
	w.Text(`,"status":`, string(a.Status))
	if len(a.Output) > 0 {
		w.Document(`,"output":`, a.Output)
	}
	if a.Fault != nil {
		w.Other(`,"fault":`, a.Fault)
	}
	w.Flag(`,"cached":`, a.Cached)
	w.Flag(`,"verify":`, a.Verify)
	w.Count(`,"host_calls":`, int64(a.HostCalls))
	w.Count(`,"fuel":`, a.Fuel)
	w.Count(`,"wall":`, int64(a.Wall))
	if a.Retry != nil {
		w.Time(`,"retry":`, *a.Retry)
	}
	w.Flag(`,"verifying":`, a.Verifying)
	w.Flag(`,"doubt":`, a.Doubt)
	w.Flag(`,"unknown":`, a.Unknown)
	w.Raw("}")
}

// WriteJSON implements journal.Writer.
func (h Head) WriteJSON(w *compact.Writer) {
	w.Text(`{"id":`, h.ID)
	w.Text(`,"title":`, h.Title)
	w.Text(`,"type":`, h.Type)
	w.Filled(`,"category":`, h.Category)
	w.Text(`,"severity":`, h.Severity)
	w.Filled(`,"queue":`, h.Queue)
	w.Filled(`,"owner":`, h.Owner)
	w.Text(`,"status":`, h.Status)
	w.Time(`,"opened":`, h.Opened)
	w.Time(`,"updated":`, h.Updated)
	w.Number(`,"alarms":`, int64(h.Alarms))
	w.Raw(`,"runs":`)
	if h.Runs == nil {
		w.Raw("null")
	} else {
		begin := len(w.B)
		for _, r := range h.Runs {
			w.Text(`,{"id":`, r.ID)
			w.Text(`,"runbook":`, r.Runbook)
			w.Text(`,"status":`, string(r.Status))
			w.Raw("}")
		}
		w.List(begin)
	}
	w.Number(`,"containments":`, int64(h.Containments))
	w.Number(`,"waiting_approvals":`, int64(h.Waiting))
	w.Count(`,"in_doubt":`, int64(h.InDoubt))
	w.Raw("}")
}
