package countries_test

import (
	"testing"

	"github.com/riposte-soar/riposte/plugins/geoip/countries"
)

func TestCountries(t *testing.T) {
	if countries.At(0) != "" || countries.At(1) != "AD" || countries.At(countries.Count()) != "ZW" || countries.At(255) != "" {
		t.Error("the order of the list is not read right")
	}
	for code, name := range map[string]string{"CI": "Côte d'Ivoire", "NL": "Netherlands", "US": "United States"} {
		if countries.Name(code) != name || countries.Code(name) != code {
			t.Errorf("%s is %q, %s is %q", code, countries.Name(code), name, countries.Code(name))
		}
	}
	if countries.Name("ZZ") != "" || countries.Name("") != "" || countries.Code("") != "" || countries.Code("Atlantis") != "" {
		t.Error("an unknown country is known")
	}
	if countries.Code("The NETHERLANDS") != "NL" {
		t.Error("article and case count")
	}
	for i := 2; i <= countries.Count(); i++ {
		if countries.At(i-1) >= countries.At(i) {
			t.Errorf("%s stands before %s", countries.At(i-1), countries.At(i))
		}
	}
}
