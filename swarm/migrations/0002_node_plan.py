from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("swarm", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="node",
            name="depends_on",
            field=models.JSONField(
                default=list, help_text="stories of the same execution, with lower numbers, that must be done first"
            ),
        ),
        migrations.AddField(
            model_name="node",
            name="predicted_files",
            field=models.JSONField(default=list, help_text="pairs of a path and why it is expected to be touched"),
        ),
    ]
