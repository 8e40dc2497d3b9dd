package engine

import (
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/server/incident"
)

// What a step waits for, and what becomes of the steps that nobody chose.
func TestFlow(t *testing.T) {
	for _, c := range []struct {
		name   string
		inputs map[string]any
		book   string
		status incident.Status
		steps  string // path=status, separated by blanks
		order  string // parameters ip of the action look, in the order of the calls
	}{
		{"one after the other", nil, `
steps:
  - {id: a, uses: trial/look@1, with: {ip: "1"}}
  - {id: b, uses: trial/look@1, with: {ip: "2"}}
  - {id: c, set: "${{ steps.b.score + 1 }}"}
  - {id: d, uses: trial/look@1, with: {ip: "${{ string(steps.c) }}"}}`,
			incident.Succeeded, "a=succeeded b=succeeded c=succeeded d=succeeded", "1 2 10"},
		{"needs nothing", nil, `
steps:
  - {id: a, wait: 1h}
  - {id: b, needs: [], fail: "at once"}`, incident.Failed, "a=cancelled b=failed", ""},
		{"a failure ends it", nil, `
steps:
  - {id: a, fail: "no"}
  - {id: b, needs: [], uses: trial/look@1, with: {ip: "2"}}`, incident.Failed, "a=failed b=never began", ""},
		{"on_error continue", nil, `
steps:
  - {id: a, uses: trial/look@1, with: {ip: "bad"}, on_error: continue}
  - {id: b, set: "${{ steps.a == null }}"}`, incident.Succeeded, "a=failed b=succeeded", "bad"},
		{"decide", map[string]any{"n": int64(3)}, `
inputs: {n: {type: integer}}
steps:
  - {id: choice, decide: [{when: "${{ inputs.n > 5 }}", then: high}, {when: "${{ inputs.n > 2 }}", then: middle}, {else: low}]}
  - {id: high, set: 1, then: after}
  - {id: middle, set: 2, then: after}
  - {id: low, set: 3}
  - {id: behind_low, needs: [low], set: 4}
  - {id: after, set: 5}
  - {id: last, needs: [high, after], set: 6}`, incident.Succeeded,
			"choice=succeeded high=not taken middle=succeeded low=not taken behind_low=not taken after=succeeded last=succeeded", ""},
		{"decide to end", nil, `
steps:
  - {id: choice, decide: [{when: "${{ true }}", then: end}, {else: x}]}
  - {id: x, set: 1}
  - {id: y, set: 1}`, incident.Succeeded, "choice=succeeded x=never began y=never began", ""},
		{"decide to fail", nil, `
steps:
  - {id: choice, decide: [{when: "${{ true }}", then: fail, note: too bad}, {else: x}]}
  - {id: x, set: 1}`, incident.Failed, "choice=succeeded x=never began", ""},
		{"no case holds", nil, `
steps:
  - {id: choice, decide: [{when: "${{ false }}", then: x}]}
  - {id: x, set: 1}
  - {id: y, needs: [choice], set: 1}`, incident.Succeeded, "choice=succeeded x=not taken y=succeeded", ""},
		{"then end", nil, `
steps:
  - {id: a, set: 1, then: end, if: "${{ true }}"}
  - {id: b, set: 1}`, incident.Succeeded, "a=succeeded b=never began", ""},
		{"if", nil, `
steps:
  - {id: a, set: 1, if: "${{ false }}"}
  - {id: b, set: "${{ steps.a == null ? 'none' : 'some' }}"}`, incident.Succeeded, "a=skipped b=succeeded", ""},
		{"if that cannot be evaluated", nil, `
steps:
  - {id: l, uses: trial/look@1, with: {ip: "1"}}
  - {id: a, set: 1, if: "${{ steps.l.rows[3] == 'x' }}"}`, incident.Failed, "l=succeeded a=failed", "1"},
		{"end and fail steps", nil, `
steps:
  - {id: choice, decide: [{when: "${{ true }}", then: bye}, {else: bad}]}
  - {id: bye, end: "all is well"}
  - {id: bad, fail: "no"}
  - {id: more, needs: [choice], set: 1}`, incident.Succeeded, "bye=succeeded more=never began", ""},
		{"parallel", nil, `
steps:
  - id: p
    parallel:
      - {id: a, uses: trial/look@1, with: {ip: "bad"}, on_error: continue}
      - {id: b, set: 2}
      - {id: c, set: 3, if: "${{ false }}"}
  - {id: after, set: "${{ steps.b }}"}`, incident.Succeeded, "p=succeeded a=failed b=succeeded c=skipped after=succeeded", "bad"},
		{"parallel with a failure", nil, `
steps:
  - id: p
    parallel:
      - {id: a, uses: trial/look@1, with: {ip: "bad"}}
      - {id: b, uses: trial/look@1, with: {ip: "good"}}
  - {id: after, set: 1}`, incident.Failed, "p=failed a=failed b=succeeded after=never began", ""},
		{"parallel with a failure that is passed over", nil, `
steps:
  - id: p
    on_error: continue
    parallel:
      - {id: a, uses: trial/look@1, with: {ip: "bad"}}
  - {id: after, set: 1}`, incident.Succeeded, "p=failed a=failed after=succeeded", "bad"},
		{"call", nil, `
steps:
  - {id: one, call: inner, with: {ip: "7"}}
  - {id: two, set: "${{ steps.one.found }}"}
runbooks:
  inner:
    inputs: {ip: {type: string}}
    steps:
      - {id: l, uses: trial/look@1, with: {ip: "${{ inputs.ip }}"}}
      - {id: deeper, call: innermost, with: {ip: "${{ steps.l.ip + '7' }}"}}
    outputs: {found: "${{ steps.deeper.it }}"}
  innermost:
    inputs: {ip: {type: string}}
    steps: [{id: l, uses: trial/look@1, with: {ip: "${{ inputs.ip }}"}}]
    outputs: {it: "${{ steps.l.ip }}"}`, incident.Succeeded, "one/l=succeeded one/deeper/l=succeeded two=succeeded", "7 77"},
		{"loop over a call whose last item fails", nil, `
steps:
  - {id: each, foreach: "${{ ['good', 'bad'] }}", as: ip, call: inner, with: {ip: "${{ ip }}"}}
  - {id: after, set: 1}
runbooks:
  inner:
    inputs: {ip: {type: string}}
    steps: [{id: l, uses: trial/look@1, with: {ip: "${{ inputs.ip }}"}}]`,
			incident.Failed, "each[0]=succeeded each[1]=failed each=failed after=never began", "good bad"},
		{"call that fails", nil, `
steps:
  - {id: one, call: inner}
runbooks:
  inner: {steps: [{id: l, uses: trial/look@1, with: {ip: "bad"}}, {id: m, set: 1}]}`, incident.Failed, "one/l=failed one/m=never began one=failed", "bad"},
		{"call of a runbook of its own file", nil, `
steps:
  - {id: one, call: shared@2, with: {ip: "3"}}`, incident.Succeeded, "one/l=succeeded", "3"},
		{"foreach", nil, `
steps:
  - {id: all, foreach: "${{ ['1', '2', '3'] }}", uses: trial/look@1, with: {ip: "${{ item }}"}}
  - {id: sum, set: "${{ steps.all.map(e, e.item + '=' + e.output.ip) }}"}`, incident.Succeeded, "all=succeeded all[0]=succeeded all[2]=succeeded sum=succeeded", "1 2 3"},
		{"foreach over nothing", nil, `
steps:
  - {id: all, foreach: "${{ [] }}", uses: trial/look@1, with: {ip: "${{ item }}"}}
  - {id: sum, set: "${{ steps.all.size() }}"}`, incident.Succeeded, "all=succeeded sum=succeeded", ""},
		{"foreach stops at a failure", nil, `
steps:
  - {id: all, foreach: "${{ ['1', 'bad', '3'] }}", uses: trial/look@1, with: {ip: "${{ item }}"}}`, incident.Failed, "all[0]=succeeded all[1]=failed all[2]=never began all=failed", "1 bad"},
		{"foreach goes on", nil, `
steps:
  - {id: all, foreach: "${{ ['1', 'bad', '3'] }}", as: ip, on_item_error: continue, concurrency: 2, uses: trial/look@1, with: {ip: "${{ ip }}"}}
  - {id: good, set: "${{ steps.all.filter(e, !has(e.error)).map(e, e.output.ip) }}"}
  - {id: why, set: "${{ steps.all.filter(e, has(e.error)).map(e, e.error.kind) }}"}`, incident.Succeeded, "all[1]=failed all=succeeded good=succeeded", ""},
		{"foreach call", nil, `
steps:
  - {id: all, foreach: "${{ ['1', '2'] }}", as: ip, call: inner, with: {ip: "${{ ip }}"}}
  - {id: sum, set: "${{ steps.all.map(e, e.output.it) }}"}
runbooks:
  inner:
    inputs: {ip: {type: string}}
    steps: [{id: l, uses: trial/look@1, with: {ip: "${{ inputs.ip }}"}}]
    outputs: {it: "${{ steps.l.ip }}"}`, incident.Succeeded, "all[0]/l=succeeded all[1]=succeeded sum=succeeded", "1 2"},
		{"set of what has no JSON", nil, `
steps:
  - {id: l, set: "${{ 1.0 / 0.0 }}"}`, incident.Failed, "l=failed", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			shared := "runbook: shared\nversion: 2\ninputs: {ip: {type: string}}\nsteps: [{id: l, uses: trial/look@1, with: {ip: \"${{ inputs.ip }}\"}}]"
			r := with(t, book(c.book), shared)
			r.actor.on("look", lookOrBad)
			run := r.run("b", c.inputs)
			r.want(run, c.status, fields(c.steps)...)
			if got := strings.Join(r.actor.called("look"), " "); c.order != "" && got != c.order {
				t.Errorf("look was called with %q, want %q", got, c.order)
			}
		})
	}
}

// fields cuts "a=x b=not taken" into its parts.
func fields(s string) (list []string) {
	for word := range strings.FieldsSeq(s) {
		if strings.Contains(word, "=") {
			list = append(list, word)
		} else if n := len(list); n > 0 {
			list[n-1] += " " + word
		}
	}
	return list
}
