-- template_names
-- The templates by name, for a shell to complete them: each with its newest version.

SELECT waitctl_templates.name, max(waitctl_templates.version) AS version
FROM waitctl_templates
WHERE waitctl_templates.removed_at IS NULL
GROUP BY waitctl_templates.name
ORDER BY waitctl_templates.name;
