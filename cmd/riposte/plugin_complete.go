package main

import (
	"maps"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/plugins/author"
	"github.com/riposte-soar/riposte/server"
	"github.com/riposte-soar/riposte/testing/harness"
)

// completePlugin teaches the commands about plugins what a shell may complete (riposte completion): packages, folders, actions of the plugin that one
// stands in, plugins that are installed, and the words that flags know.
func completePlugin(plugin *cobra.Command) {
	words := map[string][]string{"lang": languages(), "replay": {"strict", "lenient"}, "fault": append(harness.Injections(), "all"), "crash": {"begin", "end", "all"}}
	folders := map[string]bool{"content": true, "plugins": true, "dir": true, "assets": true, "cache": true}
	files := map[string][]string{"settings": {"yaml", "yml"}, "config": {"yaml", "yml"}, "module": {"wasm"}, "key": {"key", "pub"}, "html": {"html"}, "markdown": {"md"}, "junit": {"xml"}, "sbom": {"json"}}
	arguments := map[string]cobra.CompletionFunc{
		"new": cobra.NoFileCompletions, "keygen": cobra.NoFileCompletions, "ls": cobra.NoFileCompletions, "compile": cobra.NoFileCompletions,
		"show": cobra.NoFileCompletions, "pull": cobra.NoFileCompletions,
		"build": anyFolder, "test": anyFolder, "learn": anyFolder, "bench": anyFolder,
		"inspect": anyPackage, "engine": anyPackage, "sign": anyPackage, "verify": anyPackage, "install": anyPackage, "push": anyPackage,
		"run": actionsHere, "record": actionsHere, "grant": installedPlugins, "remove": installedPlugins,
	}
	for _, cmd := range plugin.Commands() {
		cmd.ValidArgsFunction = arguments[cmd.Name()]
		for flag, list := range words {
			if cmd.Flags().Lookup(flag) != nil {
				_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp))
			}
		}
		for flag := range folders {
			_ = cmd.MarkFlagDirname(flag)
		}
		for flag, endings := range files {
			_ = cmd.MarkFlagFilename(flag, endings...)
		}
	}
}

func anyFolder(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func anyPackage(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"wasm"}, cobra.ShellCompDirectiveFilterFileExt
}

// actionsHere are those of the manifest in the folder that --dir names.
func actionsHere(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	dir, _ := cmd.Flags().GetString("dir")
	_, head, err := author.ReadManifest(filepath.Join(dir, author.ManifestFile))
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(head.Actions)), cobra.ShellCompDirectiveNoFileComp
}

// installedPlugins are those of the lock beside the content that --content names.
func installedPlugins(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	content, _ := cmd.Flags().GetString("content")
	lock, err := server.LoadLock(content)
	if err != nil || lock == nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(lock.Plugins)), cobra.ShellCompDirectiveNoFileComp
}
