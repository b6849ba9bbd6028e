// Receives webhooks of Docket, believes those that are signed, and acts on each once. The standard library is all it needs.
//
//	WEBHOOK_SECRET=whsec_… go run receiver.go 9000
//
// Prints what it took: type, stream, version, id.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	largest   = 2 << 20
	tolerance = 5 * time.Minute
)

type message struct {
	Type string `json:"type"`
	Data struct {
		Stream  string `json:"stream"`
		Version int    `json:"stream_version"`
	} `json:"data"`
}

// verify checks a request as Standard Webhooks has it: HMAC-SHA256 over id, timestamp and body, and a timestamp that is not old.
func verify(key []byte, header http.Header, body []byte) error {
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > tolerance {
		return errors.New("the timestamp is missing or old")
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.", id, timestamp)
	mac.Write(body)
	wanted := mac.Sum(nil)
	// While a secret is rotated there are two signatures: one of them must fit.
	for _, signature := range strings.Fields(header.Get("webhook-signature")) {
		encoded, found := strings.CutPrefix(signature, "v1,")
		given, err := base64.StdEncoding.DecodeString(encoded)
		if found && err == nil && hmac.Equal(given, wanted) {
			return nil
		}
	}
	return errors.New("no signature fits")
}

func main() {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(os.Getenv("WEBHOOK_SECRET"), "whsec_"))
	if err != nil || len(key) == 0 {
		log.Fatal("WEBHOOK_SECRET is no secret")
	}
	// A service keeps these with what it does, in the same transaction of its database.
	var lock sync.Mutex
	seen := map[string]bool{}
	receive := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largest))
		var m message
		if err != nil || verify(key, r.Header, body) != nil || json.Unmarshal(body, &m) != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		lock.Lock()
		defer lock.Unlock()
		// What was taken once comes again when our answer was lost.
		if id := r.Header.Get("webhook-id"); !seen[id] {
			fmt.Println(m.Type, m.Data.Stream, m.Data.Version, id)
			seen[id] = true
		}
		w.WriteHeader(http.StatusNoContent)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on http://" + listener.Addr().String())
	log.Fatal(http.Serve(listener, http.HandlerFunc(receive)))
}
