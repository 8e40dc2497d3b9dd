// A command in C, with nothing but stdio: it logs its action, and gives the number of its arguments.
#include <stdio.h>
#include <string.h>

static char line[1 << 16];

int main(int argc, char **argv) {
  if (!fgets(line, sizeof line, stdin) || !strstr(line, "\"parameters\"")) return 2;
  FILE *host = fopen("/dev/riposte", "r+");
  if (!host) return 3;
  for (int i = 0; i < 2; i++) {
    fprintf(host, "{\"fn\":\"log.write\",\"request\":{\"level\":\"info\",\"message\":\"%s %d\"}}\n", argv[1], i);
    fflush(host);
    if (!fgets(line, sizeof line, host) || strcmp(line, "{}\n")) return 4;
  }
  fprintf(host, "{\"output\":%d}\n", argc);
  return fclose(host);
}
