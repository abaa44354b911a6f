-- get_template-version
-- A template's newest version, or one that is named.

SELECT waitctl_templates.name, waitctl_templates.fields, waitctl_templates.version,
    waitctl_templates.examples, waitctl_templates.saved_at, waitctl_templates.actor
FROM waitctl_templates
WHERE waitctl_templates.name = :name
  AND waitctl_templates.removed_at IS NULL
  AND waitctl_templates.version = :version
ORDER BY waitctl_templates.version DESC
LIMIT :param_1
OFFSET :param_2;
