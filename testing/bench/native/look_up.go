//go:build ignore

// Command look_up says whether an address is on the list of a service: look_up URL TOKEN ADDRESS.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
)

func main() {
	request, err := http.NewRequest(http.MethodGet, os.Args[1]+"/v1/addresses/"+os.Args[3], nil)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+os.Args[2])
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	found := struct {
		IP     string `json:"ip"`
		Listed bool   `json:"listed"`
		Reason string `json:"reason"`
	}{IP: os.Args[3]}
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		log.Fatal(err)
	}
}
